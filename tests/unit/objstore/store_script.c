#include "tests/unit/objstore/store_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool ended(struct objstore *s, struct objstore_req *req)
{
    struct err err = {0};

    if (objstore_wait(s, req, &err) == ST_OK)
        return true;
    if (req->result.class != OBJSTORE_TRANSIENT)
        fail_msg("%s: %s", objstore_class_name(req->result.class), err.text);
    assert_true(strlen(err.text) > 10);
    assert_int_equal(req->result.body.bytes, 0);
    assert_int_equal(req->result.entry_count, 0);
    return false;
}

static bool run(struct objstore *s, struct objstore_req req)
{
    bool ok = ended(s, &req);

    objstore_result_fini(&req.result);
    return ok;
}

static bool upload(struct objstore *s)
{
    struct objstore_req begin = {.op = OBJSTORE_UPLOAD_BEGIN, .key = "a/parts"};
    struct objstore_req part = {.op = OBJSTORE_UPLOAD_PART,
                                .key = "a/parts",
                                .part_number = 1,
                                .body = slice_text("part"),
                                .upload_id = begin.result.upload_id};
    struct objstore_part parts[1] = {{.number = 1}};
    struct objstore_req end = {.op = OBJSTORE_UPLOAD_COMPLETE,
                               .key = "a/parts",
                               .parts = parts,
                               .part_count = 1,
                               .upload_id = begin.result.upload_id};
    bool ok = ended(s, &begin) && ended(s, &part);

    if (ok) {
        memcpy(parts[0].etag, part.result.etag, sizeof parts[0].etag);
        ok = ended(s, &end);
    }
    if (ok)
        ok = run(s, (struct objstore_req){.op = OBJSTORE_UPLOAD_ABORT,
                                          .key = "a/parts",
                                          .upload_id = begin.result.upload_id});
    objstore_result_fini(&part.result);
    objstore_result_fini(&end.result);
    objstore_result_fini(&begin.result);
    return ok;
}

status store_script(struct objstore *s)
{
    struct objstore_req put = {.op = OBJSTORE_PUT,
                               .key = "a/b",
                               .body = slice_text("text"),
                               .condition = OBJSTORE_IF_ABSENT};
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "a/b"};
    bool ok = run(s, (struct objstore_req){.op = OBJSTORE_DELETE, .key = "a/b"});

    if (ok && !run(s, put)) {
        /* Refused before anything was done: the same may be sent again. */
        if (!run(s, put))
            fail_msg("a second allocation failed");
        ok = false;
    }
    if (ok && (ok = ended(s, &get)))
        assert_true(slice_equal(buf_slice(&get.result.body), slice_text("text")));
    objstore_result_fini(&get.result);
    ok = ok && run(s, (struct objstore_req){.op = OBJSTORE_HEAD, .key = "a/b"});
    ok = ok && run(s, (struct objstore_req){.op = OBJSTORE_LIST, .key = "a/"});
    ok = ok && upload(s);
    return ok ? ST_OK : ST_NOMEM;
}

/* Any bytes as the XML a store answers with: errors, listings, uploads, completions. */
#include "objstore/s3_xml.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void read_list(struct slice text, const char *prefix)
{
    struct objstore_result r = {0};
    struct err err = {0};

    if (fuzz_said(s3_xml_list(text, prefix, &r, &err), &err) == ST_OK) {
        FUZZ_CHECK(r.entry_count <= OBJSTORE_LIST_MAX);
        for (size_t i = 0; i < r.entry_count; i++) {
            FUZZ_CHECK(r.entries[i].key[0] != '\0');
            FUZZ_CHECK(strlen(r.entries[i].key) <= S3_XML_TEXT_BYTES_MAX);
        }
    }
    objstore_result_fini(&r);
}

static void read_error(struct slice text)
{
    struct s3_error e;
    static const struct s3_error NONE = {0};

    if (!s3_xml_error(text, &e)) {
        FUZZ_CHECK(memcmp(&e, &NONE, sizeof e) == 0);
        return;
    }
    FUZZ_CHECK(e.code[0] != '\0');
    fuzz_printable(e.code);
    fuzz_printable(e.message);
    fuzz_printable(e.request_id);
    fuzz_printable(e.region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct slice text = slice_make(copy, bytes);
    char id[OBJSTORE_UPLOAD_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    struct err err = {0};

    read_error(text);
    read_list(text, "");
    read_list(text, "p/");
    if (fuzz_said(s3_xml_upload_id(text, id, &err), &err) == ST_OK) {
        FUZZ_CHECK(strlen(id) > 0 && strlen(id) < sizeof id);
        fuzz_printable(id);
    }
    if (fuzz_said(s3_xml_complete(text, etag, &err), &err) == ST_OK) {
        FUZZ_CHECK(strlen(etag) < sizeof etag);
        fuzz_printable(etag);
    }
    free(copy);
    return 0;
}

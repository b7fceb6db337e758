/* Any bytes as what a store says, or what stands in a file of profiles: must not read outside, must
 * end. The first byte chooses which. */
#include "objstore/credentials_file.h"
#include "objstore/s3_reply.h"
#include "objstore/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void on_key(void *arg, struct slice key, struct slice value)
{
    size_t *sum = arg;

    *sum += key.bytes + value.bytes;
}

static void read_headers(struct slice text)
{
    struct s3_reply reply = {0};

    while (text.bytes > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        size_t line = end == NULL ? text.bytes : (size_t)(end - text.data) + 1;

        s3_reply_line(&reply, slice_make(text.data, line));
        text = slice_make(text.data + line, text.bytes - line);
    }
    if (reply.has_range && reply.range_first > reply.range_last)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct objstore_result r = {0};
    char etag[OBJSTORE_ETAG_BYTES];
    char id[OBJSTORE_UPLOAD_BYTES];
    struct s3_error error;
    struct slice rest;
    size_t sum = 0;

    if (bytes == 0)
        return 0;
    rest = slice_make(data + 1, bytes - 1);
    switch (data[0] % 6) {
    case 0:
        (void)s3_xml_error(rest, &error);
        break;
    case 1:
        if (s3_xml_list(rest, "p/", &r, NULL) == ST_OK && r.entry_count > OBJSTORE_LIST_MAX)
            __builtin_trap();
        objstore_result_fini(&r);
        break;
    case 2:
        if (s3_xml_complete(rest, etag, NULL) == ST_OK && strlen(etag) >= sizeof etag)
            __builtin_trap();
        break;
    case 3:
        if (s3_xml_upload_id(rest, id, NULL) == ST_OK && strlen(id) >= sizeof id)
            __builtin_trap();
        break;
    case 4:
        read_headers(rest);
        break;
    default:
        (void)profile_read(rest, "dev", true, on_key, &sum);
    }
    return 0;
}

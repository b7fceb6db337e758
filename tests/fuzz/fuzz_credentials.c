/* Any bytes as what gives keys: a process, a metadata service, STS; a command line; words to be
 * shown. What is accepted can be signed with and stand in a header; a known secret is in nothing
 * shown. The first byte chooses. */
#include "objstore/credentials_read.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void look(status st, struct err *err, const struct credentials *c)
{
    if (fuzz_said(st, err) != ST_OK) {
        FUZZ_CHECK(c->access[0] == '\0' && c->secret[0] == '\0' && c->token[0] == '\0');
        FUZZ_CHECK(c->expires_s == 0);
        return;
    }
    FUZZ_CHECK(c->access[0] != '\0' && credentials_plain(slice_text(c->access)));
    FUZZ_CHECK(c->secret[0] != '\0' && credentials_plain(slice_text(c->secret)));
    FUZZ_CHECK(credentials_plain(slice_text(c->token)));
    FUZZ_CHECK(c->expires_s >= 0);
}

static void split(const uint8_t *data, size_t bytes)
{
    char *command = malloc(bytes + 1);
    char *room = malloc(bytes + 1);
    char *argv[CREDENTIALS_WORDS_MAX + 1];
    struct err err = {0};
    size_t count = 0;

    FUZZ_CHECK(command != NULL && room != NULL);
    memcpy(command, data, bytes);
    command[bytes] = '\0';
    if (fuzz_said(credentials_words(command, room, argv, &err), &err) == ST_OK) {
        while (argv[count] != NULL) {
            FUZZ_CHECK(argv[count] >= room && argv[count] + strlen(argv[count]) < room + bytes + 1);
            count++;
        }
        FUZZ_CHECK(count > 0 && count <= CREDENTIALS_WORDS_MAX && argv[0][0] != '\0');
    }
    free(command);
    free(room);
}

static void show(const uint8_t *data, size_t bytes)
{
    static const char *const secrets[] = {"hush!", "se/cr+et="};
    char out[256];

    credentials_show(out, sizeof out, slice_make(data, bytes), secrets, COUNT_OF(secrets));
    fuzz_printable(out);
    for (size_t i = 0; i < COUNT_OF(secrets); i++)
        FUZZ_CHECK(strstr(out, secrets[i]) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct credentials c;
    struct err err = {0};
    uint8_t *copy;
    int64_t when = 0;

    if (bytes == 0)
        return 0;
    copy = fuzz_copy(data + 1, bytes - 1);
    bytes--;
    memset(&c, 0, sizeof c);
    switch (data[0] % 6) {
    case 0:
    case 1:
        look(credentials_read_json(slice_make(copy, bytes), data[0] % 6 == 1, &c, &err), &err, &c);
        break;
    case 2:
        look(credentials_read_sts(slice_make(copy, bytes), "AssumeRoleWithWebIdentity", &c, &err),
             &err, &c);
        break;
    case 3:
        FUZZ_CHECK(!credentials_time(slice_make(copy, bytes), &when) || when > 0);
        break;
    case 4:
        split(copy, bytes);
        break;
    default:
        show(copy, bytes);
    }
    free(copy);
    return 0;
}

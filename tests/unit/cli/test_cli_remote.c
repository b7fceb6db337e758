/* The operator's commands against the real door with the fake node behind it: what they print, and
 * each exit code. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "tests/unit/api/world.h"
#include "tests/unit/cli/cli_run.h"

#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct world world;
static char folder[64];
static const struct node_status GREEN = {
    .has_bucket = true, .bucket = "file /b", .breaker = "closed", .pressure = "green"};

static int open_world(void **state)
{
    struct api_options options = world_options();
    char url[64];

    (void)state;
    world_open(&world, &options);
    fake_node_set_bucket(world.node, &GREEN);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)api_port(world.api));
    (void)snprintf(folder, sizeof folder, "/tmp/test_cli.XXXXXX");
    return setenv("TIERVEC_URL", url, 1) == 0 && mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0
                                                                                               : -1;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return chdir("/") == 0 && fs_remove_all(fs_real(), folder, NULL) == ST_OK ? 0 : -1;
}

static void is_json(const char *text)
{
    struct json_small *j = NULL;
    struct err err;

    if (json_small_parse(slice_text(text), &j, &err) != ST_OK)
        fail_msg("%s: %s", err.text, text);
    json_small_free(j);
}

static void make_bucket_collection(void)
{
    cli_check(cli_collections,
              "collections create c --dimension 3 --metric l2 --tiering-policy MemoryS3 "
              "--durability=remote",
              CLI_OK, "created c, 0");
}

static uint64_t add_letter(enum letter_kind kind, uint64_t first, uint64_t last, const char *class)
{
    struct letter l = {.kind = kind,
                       .state = LETTER_PARKED,
                       .lsn_first = first,
                       .lsn_last = last,
                       .key = "c/00/x/w/4/5",
                       .s3_code = "AccessDenied",
                       .http_status = 403,
                       .message = "put: 403 \x1b[31mAccessDenied",
                       .attempts = 6,
                       .last_failed_ns = 1700000001000000000u,
                       .blocking = true};

    (void)snprintf(l.class, sizeof l.class, "%s", class);
    return fake_node_add_letter(world.node, "c", l);
}

/* --- tests --- */

static void collections_are_made_listed_renamed_and_deleted(void **state)
{
    (void)state;
    make_bucket_collection();
    cli_check(cli_collections, "collections list", CLI_OK, " MemoryS3 c\n");
    cli_check(cli_collections, "collections create c --dimension 3 --metric l2", CLI_CONFLICT,
              "error: create a collection; a collection has this name; try: ");
    cli_check(cli_collections, "collections create d --dimension x --metric l2", CLI_USAGE,
              "usage:");
    cli_check(cli_collections, "collections create d --metric l2", CLI_USAGE, "usage:");
    cli_check(cli_collections, "collections create d --dimension 3 --metric l2 --quantization int4",
              CLI_FAILED, "`quantization` is `int4`");
    cli_check(cli_collections, "collections create d --dimension 3 --metric x", CLI_FAILED,
              "`metric`");
    cli_check(cli_collections, "collections rename c d", CLI_OK, "c is d now");
    cli_check(cli_collections, "collections delete c --yes", CLI_NOT_FOUND, "no collection");
    cli_check(cli_collections, "collections delete d", CLI_USAGE, "--yes, or --dry-run");
    cli_check(cli_collections, "collections delete d --dry-run", CLI_OK,
              "would delete collection d with 0 documents, here and in the bucket");
    cli_check(cli_collections, "collections delete d --yes", CLI_OK, "deleted d");
    cli_check(cli_collections, "collections", CLI_USAGE, "usage:");
    cli_run(cli_collections, "collections list --json");
    assert_int_equal(cli_ran.code, CLI_OK);
    assert_string_equal(cli_ran.out, "{\"collections\":[]}\n");
}

static void a_document_is_written_read_and_found(void **state)
{
    (void)state;
    cli_check(cli_collections, "collections create c --dimension 2 --metric l2", CLI_OK, "created");
    cli_check(cli_insert,
              "insert c --id 18446744073709551615 --vector [1,2] --payload {\"a\":[1.0]} "
              "--external-id x",
              CLI_OK, "inserted 18446744073709551615, lsn 1, durability local\n");
    cli_check(cli_insert, "insert c --vector [3,4]", CLI_OK, "inserted \"0");
    cli_check(cli_get, "get c 18446744073709551615", CLI_OK,
              "{\"doc_id\":18446744073709551615,\"external_id\":\"x\",\"vector\":[1,2],\"payload\":"
              "{\"a\":[1.0]},");
    cli_check(cli_get, "get c 7", CLI_NOT_FOUND, "there is no document 7");
    cli_check(cli_get, "get c a/b", CLI_FAILED, "a/b");
    cli_check(cli_query, "query c [1,2] --top-k 1", CLI_OK,
              "0              18446744073709551615 {\"a\":[1.0]}\n");
    cli_check(cli_query, "query c [1,2] --exact --explain", CLI_OK, "{\"using\":\"\",\"plan\":");
    cli_check(cli_query, "query c [1,2] --filter {\"a\":2}", CLI_OK, "no document matches\n");
    cli_run(cli_query, "query c [1,2] --json");
    is_json(cli_ran.out);
    cli_check(cli_query, "query c [1,2,3]", CLI_FAILED, "has 3 values");
    cli_check(cli_query, "query c [1,", CLI_USAGE, "error: VECTOR; malformed JSON");
    cli_check(cli_query, "query c [1,2] --filter {a}", CLI_USAGE,
              "error: --filter; malformed JSON");
    cli_check(cli_query, "query c [1,2] --top-k x", CLI_USAGE, "usage:");
    cli_check(cli_query, "query c [1,2] --using b", CLI_FAILED, "names the vector `b`");
    cli_check(cli_query, "query none [1,2]", CLI_NOT_FOUND, "no collection");
    cli_check(cli_insert, "insert c", CLI_FAILED, "`vector` is missing");
    cli_check(cli_insert, "insert c --vector [1", CLI_USAGE, "error: --vector; malformed JSON");
    cli_check(cli_insert, "insert c --id 18446744073709551616 --vector [1,2]", CLI_FAILED,
              "no UUID");
}

static void a_command_names_its_vector(void **state)
{
    (void)state;
    cli_check(cli_collections,
              "collections create c --string-ids --vectors "
              "{\"a\":{\"dimension\":2,\"metric\":\"l2\"},\"b\\\"\":{\"dimension\":1,\"metric\":"
              "\"dot\"}}",
              CLI_OK, "created c, 0");
    cli_check(cli_collections, "collections create d --vectors {} --metric l2", CLI_USAGE,
              "usage:");
    cli_check(cli_collections, "collections create d --vectors {", CLI_FAILED, "malformed JSON");
    cli_check(cli_insert, "insert c --id a/b --vector [1,2] --vector-name a", CLI_OK,
              "inserted \"a/b\"");
    cli_check(cli_insert, "insert c --id 2 --vectors {\"b\\\"\":[1]}", CLI_OK, "inserted \"2\"");
    cli_check(cli_insert, "insert c --vector [1] --vector-name b\"", CLI_OK, "inserted \"0");
    cli_check(cli_insert, "insert c --vector [1,2]", CLI_FAILED, "`a`, `b\"`");
    cli_check(cli_insert, "insert c --vector-name a", CLI_USAGE, "usage:");
    cli_check(cli_get, "get c a/b", CLI_OK, "\"vectors\":{\"a\":[1,2]},");
    cli_check(cli_query, "query c [1,2] --using a", CLI_OK, "0              \"a/b\" {}\n");
    cli_check(cli_query, "query c [1,2]", CLI_FAILED, "does not say which vector");
}

static void every_command_explains_itself(void **state)
{
    static const struct {
        int (*command)(int, char **);
        const char *line;
    } commands[] = {{cli_status, "status"},
                    {cli_collections, "collections"},
                    {cli_alias, "alias"},
                    {cli_tier, "tier"},
                    {cli_take_ownership, "take-ownership"},
                    {cli_snapshot, "snapshot"},
                    {cli_compact, "compact"},
                    {cli_dlq, "dlq"},
                    {cli_get, "get"},
                    {cli_insert, "insert"},
                    {cli_query, "query"},
                    {cli_import, "import"},
                    {cli_export, "export"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "%s --help", commands[i].line);
        cli_check(commands[i].command, line, CLI_OK, "example: tiervec ");
        (void)snprintf(line, sizeof line, "%s --nope", commands[i].line);
        cli_check(commands[i].command, line, CLI_USAGE, "there is no such flag");
        (void)snprintf(line, sizeof line, "%s a b c d e", commands[i].line);
        cli_check(commands[i].command, line, CLI_USAGE, "usage: tiervec ");
        (void)snprintf(line, sizeof line, "%s --url", commands[i].line);
        cli_check(commands[i].command, line, CLI_USAGE, "needs a value");
    }
}

static void a_node_that_is_not_there_is_unreachable(void **state)
{
    (void)state;
    cli_check(cli_status, "status --url http://127.0.0.1:1", CLI_UNREACHABLE,
              "error: ask how the node is; nobody answers at 127.0.0.1:1");
    cli_check(cli_status, "status --url=nowhere", CLI_USAGE, "http://127.0.0.1:8080");
}

static void status_says_what_the_bucket_lacks(void **state)
{
    struct node_status s = GREEN;

    (void)state;
    cli_check(cli_status, "status", CLI_OK, "bucket         file /b\n");
    s.unshipped_records = 70;
    s.unshipped_bytes = 7000;
    s.lag_ms = 12345;
    s.dlq_total = 2;
    fake_node_set_bucket(world.node, &s);
    cli_check(cli_status, "status", CLI_OK,
              "not in bucket  70 records, 7000 bytes, the oldest for 12.3 s\n");
    cli_check(cli_status, "status", CLI_OK, "dead letters   2\n");
    cli_check(cli_status, "status --components", CLI_OK, "  uploader     healthy");
    cli_run(cli_status, "status --json");
    is_json(cli_ran.out);
    fake_node_set_degraded(world.node, "the bucket is gone");
    cli_run(cli_status, "status");
    assert_int_equal(cli_ran.code, CLI_FAILED);
    assert_non_null(strstr(cli_ran.out, "  reason       the bucket is gone\n"));
    cli_run(cli_status, "status --quiet");
    assert_int_equal(cli_ran.code, CLI_FAILED);
    assert_string_equal(cli_ran.out, "");
}

static void tiers_owners_and_aliases(void **state)
{
    (void)state;
    make_bucket_collection();
    cli_check(cli_tier, "tier c", CLI_OK, "phase          owned\n");
    cli_check(cli_tier, "tier none", CLI_NOT_FOUND, "no collection");
    cli_check(cli_tier, "tier c Disk", CLI_FAILED, "S3Only");
    cli_check(cli_collections, "collections create here --dimension 3 --metric l2", CLI_OK,
              "created");
    cli_check(cli_tier, "tier here MemoryS3", CLI_OK, "switching      its base is on the way");
    fake_node_set_phase(world.node, "c", "foreign", false);
    cli_check(cli_take_ownership, "take-ownership c", CLI_USAGE, "--yes");
    cli_check(cli_take_ownership, "take-ownership c --dry-run", CLI_OK, "owner          other\n");
    cli_check(cli_take_ownership, "take-ownership c --yes", CLI_OK, "phase          owned\n");
    cli_check(cli_alias, "alias set a c", CLI_OK, "a -> c\n");
    cli_check(cli_alias, "alias list", CLI_OK, "a -> c\n");
    cli_check(cli_alias, "alias set b none", CLI_NOT_FOUND, "no collection");
    fake_node_fail_bucket(world.node, ST_UNAVAILABLE);
    cli_check(cli_alias, "alias remove a", CLI_UNREACHABLE,
              "whether something is wrong with the bucket");
    cli_check(cli_alias, "alias remove a", CLI_OK, "removed a\n");
    cli_check(cli_alias, "alias remove a", CLI_NOT_FOUND, "error: remove an alias");
}

static void snapshots_and_compactions(void **state)
{
    (void)state;
    make_bucket_collection();
    cli_check(cli_snapshot, "snapshot c", CLI_OK,
              "checkpoint at lsn 0, 4096 bytes\nbucket at lsn 0, 2 objects of 100 bytes sent\n");
    cli_check(cli_snapshot, "snapshot c --name monday", CLI_OK, "pin pin-of-monday\n");
    cli_check(cli_compact, "compact c", CLI_OK, "started, job ");
    cli_check(cli_compact, "compact c --wait", CLI_OK, "checkpoint at lsn 0");
    fake_node_set_phase(world.node, "c", "owned", true);
    fake_node_fail_bucket(world.node, ST_CONFLICT);
    cli_check(cli_snapshot, "snapshot c", CLI_CONFLICT, "still on its way to the bucket");
    fake_node_fail_bucket(world.node, ST_CORRUPT);
    cli_check(cli_snapshot, "snapshot c", CLI_INTEGRITY, "error: take a snapshot");
}

static void letters_are_listed_over_all_collections(void **state)
{
    (void)state;
    cli_check(cli_dlq, "dlq list", CLI_OK, "no dead letters\n");
    make_bucket_collection();
    cli_check(cli_collections, "collections create d --dimension 3 --metric l2", CLI_OK, "created");
    for (uint64_t i = 0; i < 1001; i++) /* more than a page */
        (void)add_letter(LETTER_WAL_GROUP, 10 * i + 1, 10 * i + 10, "permanent");
    cli_check(cli_dlq, "dlq list", CLI_OK,
              "c  1  wal_group  lsn 1-10  permanent 403 AccessDenied  6 attempts, last "
              "2023-11-14T22:13:21.000000000Z  blocking\n    put: 403 ?[31mAccessDenied\n");
    assert_non_null(strstr(cli_ran.out, "\nc  1001  wal_group  lsn 10001-10010  "));
}

static void letters_are_shown_retried_and_exported(void **state)
{
    (void)state;
    make_bucket_collection();
    (void)add_letter(LETTER_WAL_GROUP, 1, 10, "throttle");
    (void)add_letter(LETTER_WAL_GROUP, 11, 20, "permanent");
    (void)add_letter(LETTER_DIVERGENT_TAIL, 21, 25, "");
    cli_check(cli_dlq, "dlq list c --class throttle", CLI_OK, "c  1  wal_group");
    cli_check(cli_dlq, "dlq list c --kind nonsense", CLI_FAILED, "wal_group");
    cli_check(cli_dlq, "dlq show c 2", CLI_OK, "lsn              11-20\n");
    cli_check(cli_dlq, "dlq show c 9", CLI_NOT_FOUND, "no dead letter 9");
    cli_check(cli_dlq, "dlq show c", CLI_USAGE, "usage:");
    cli_check(cli_dlq, "dlq export c 3", CLI_OK, "{\"op\":\"delete\",\"lsn\":7,\"doc_id\":1}\n");
    cli_check(cli_dlq, "dlq export c 3 --output letter.ndjson", CLI_OK, "");
    cli_read_back("letter.ndjson", cli_ran.out, sizeof cli_ran.out);
    assert_string_equal(cli_ran.out, "{\"op\":\"delete\",\"lsn\":7,\"doc_id\":1}\n");
    cli_check(cli_dlq, "dlq export c 3 --output letter.ndjson", CLI_FAILED, "letter.ndjson");
    cli_check(cli_dlq, "dlq retry c 1", CLI_OK, "1 stored\n");
    cli_check(cli_dlq, "dlq retry c 2", CLI_FAILED,
              "1 of 1 failed again: put: 403 ?[31mAccessDenied");
    cli_check(cli_dlq, "dlq replay c", CLI_USAGE, "usage:");
    cli_check(cli_dlq, "dlq replay c 3", CLI_OK, "5 records written again\n");
    cli_check(cli_dlq, "dlq split c 2", CLI_FAILED, "no store has refused");
    cli_run(cli_dlq, "dlq list --json");
    is_json(cli_ran.out);
    assert_non_null(
        strstr(cli_ran.out, "{\"collection\":\"c\",\"dlq\":{\"entries\":[{\"id\":\"2\""));
    cli_run(cli_dlq, "dlq show c 9 --json");
    is_json(cli_ran.out);
    assert_int_equal(cli_ran.code, CLI_NOT_FOUND);
}

static void a_discard_shows_the_range_first(void **state)
{
    (void)state;
    make_bucket_collection();
    cli_check(cli_dlq, "dlq discard c --yes", CLI_NOT_FOUND, "discard dead letters");
    (void)add_letter(LETTER_WAL_GROUP, 1, 10, "permanent");
    (void)add_letter(LETTER_WAL_GROUP, 11, 20, "permanent");
    cli_check(cli_dlq, "dlq discard c", CLI_USAGE, "discard lsn 1-20 of c");
    cli_check(
        cli_dlq, "dlq discard c 2 --dry-run", CLI_OK,
        "would discard lsn 11-20 of c: documents whose newest write is in it are written anew");
    cli_check(cli_dlq, "dlq list", CLI_OK, "c  2  ");
    cli_check(cli_dlq, "dlq discard c 2 --drop --yes", CLI_OK,
              "discarded lsn 11-20, 10 records; their export lies on the node in "
              "/data/dlq/dropped.ndjson\n");
    cli_check(cli_dlq, "dlq discard c --yes --quiet", CLI_OK, "");
    assert_string_equal(cli_ran.out, "");
    cli_check(cli_dlq, "dlq list", CLI_OK, "no dead letters\n");
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(collections_are_made_listed_renamed_and_deleted),
        T(every_command_explains_itself),
        T(a_document_is_written_read_and_found),
        T(a_command_names_its_vector),
        T(a_node_that_is_not_there_is_unreachable),
        T(status_says_what_the_bucket_lacks),
        T(tiers_owners_and_aliases),
        T(snapshots_and_compactions),
        T(letters_are_listed_over_all_collections),
        T(letters_are_shown_retried_and_exported),
        T(a_discard_shows_the_range_first),
    };

    return cmocka_run_group_tests_name("cli remote", tests, NULL, NULL);
}

/* A bucket-backed collection whose local files are damaged: it serves what is whole, says so, and
 * comes from the bucket by itself where nothing that was acknowledged is lost by that. */
#include "tests/unit/node/nbucket.h"

#include "wal/wal_format.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DIM = 8,
    DOCS = 30,
    TAIL = 12, /* documents behind DOCS that only the disk has */
    IN_THE_LOG = WAL_HEAD_BYTES + 700,
    WIDE = 1024, /* 4 KiB a row */
    FILE_BYTES = 64 * 1024,
};

static uint64_t seed = 1;
static uint64_t crash_step = 9; /* of the effects, so many are passed over; 1: each is tried */

struct place {
    char wal[FS_PATH_BYTES], snapshots[FS_PATH_BYTES];
    char newest[FS_PATH_BYTES], oldest[FS_PATH_BYTES]; /* log files */
    uint8_t id[16];
};

static void write_docs(struct nworld *w, uint64_t from, uint64_t to)
{
    struct collection *c = npin(w, "docs");

    for (uint64_t id = from; id <= to; id++)
        assert_int_equal(nput(c, id, (uint32_t)id, NULL), ST_OK);
    node_collection_unpin(c);
}

static void find(struct nworld *w, struct place *out)
{
    struct collection *c = npin(w, "docs");

    assert_int_equal(collection_paths(c, out->wal, out->snapshots, NULL), ST_OK);
    nfile(w, "wal", c, ".wal", true, out->newest);
    nfile(w, "wal", c, ".wal", false, out->oldest);
    memcpy(out->id, c->id, sizeof out->id);
    node_collection_unpin(c);
}

static bool in_trouble(struct nworld *w)
{
    struct collection *c = npin(w, "docs");
    bool trouble = ninfo(c).trouble[0] != '\0';

    node_collection_unpin(c);
    return trouble;
}

/* `docs` of DOCS documents, all of them in the bucket; then `tail` that are not. */
static void make(struct nworld *w, const char *bucket, uint32_t dim, uint64_t tail,
                 struct place *place)
{
    const struct objstore_fault gone = objstore_fault_outage();

    nworld_init(w, true, seed);
    nworld_bucket(w, bucket);
    w->options.wal_file_bytes = FILE_BYTES;
    nworld_open(w);
    nsettled(w);
    assert_int_equal(ncreate(w, "other", DIM, VMETRIC_L2, 16, NULL), ST_OK);
    assert_int_equal(ncreate_s3(w, "docs", dim, NODE_LOCAL, NULL), ST_OK);
    write_docs(w, 1, DOCS);
    nall_shipped(w);
    if (tail > 0) {
        assert_int_equal(objstore_faults_add(w->bucket, &gone, NULL, NULL), ST_OK);
        write_docs(w, DOCS + 1, DOCS + tail);
        neventually(in_trouble(w)); /* a stop does not wait for the bucket then */
    }
    find(w, place);
}

static bool serves(struct nworld *w)
{
    struct collection *c = npin(w, "docs");
    struct collection_info info = ninfo(c);

    node_collection_unpin(c);
    return strcmp(info.state, "serving") == 0 && !info.arriving && info.reason[0] == '\0';
}

static void holds(struct nworld *w, uint64_t docs)
{
    struct collection *c = npin(w, "docs");

    assert_int_equal(ncount(c), docs);
    for (uint64_t id = 1; id <= docs; id++) {
        if (nversion(c, id) != id)
            fail_msg("document %llu has version %u seed=%llu", (unsigned long long)id,
                     nversion(c, id), (unsigned long long)seed);
    }
    node_collection_unpin(c);
}

/* Healed, written to, in the bucket; and a start after it has nothing to say. */
static void must_be_healed(struct nworld *w, const struct place *p, uint64_t docs)
{
    struct letter letter;
    struct collection *c;
    struct fs_stat found;
    char aside[FS_PATH_BYTES + 16];

    neventually(serves(w));
    holds(w, docs);
    assert_true(nhealth_has(w, "healed from the bucket"));
    (void)snprintf(aside, sizeof aside, "%s" NODE_ASIDE, p->wal);
    assert_int_equal(fs_stat(nworld_fs(w), aside, &found, NULL), ST_OK);
    c = npin(w, "docs");
    assert_int_equal(nput(c, docs + 1, (uint32_t)docs + 1, NULL), ST_OK);
    node_collection_unpin(c);
    nall_shipped(w);
    c = npin(w, "docs");
    neventually(nletter(c, 0, &letter) == 0);
    node_collection_unpin(c);
    nworld_close(w);
    nworld_open(w);
    nsettled(w);
    neventually(serves(w));
    holds(w, docs + 1);
    assert_false(nhealth_has(w, ""));
    nlose_disk(w);
    nworld_open(w);
    nsettled(w);
    holds(w, docs + 1);
}

static void a_damaged_log_comes_from_the_bucket(void **state)
{
    (void)state;
    for (int header = 0; header < 2; header++) {
        struct nworld w;
        struct place p;

        make(&w, "heal-log", DIM, 0, &p);
        nworld_power_cut(&w);
        nflip(&w, p.newest, header ? 50 : IN_THE_LOG);
        nworld_open(&w);
        must_be_healed(&w, &p, DOCS);
        nworld_fini(&w);
    }
}

/* The damage lies in what the bucket has, the tail on the disk alone: it goes on where it was. */
static void what_only_the_damaged_log_has_is_kept(void **state)
{
    struct nworld w;
    struct place p;

    (void)state;
    make(&w, "heal-tail", DIM, TAIL, &p);
    nworld_power_cut(&w);
    nflip(&w, p.newest, IN_THE_LOG);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    must_be_healed(&w, &p, DOCS + TAIL);
    nworld_fini(&w);
}

static void must_be_read_only(struct nworld *w, const char *why)
{
    struct collection *c = npin(w, "docs");
    struct err err = {0};

    nstate(c, "read_only", why);
    assert_true(nhealth_has(w, why));
    assert_true(nhealth_has(w, "log file"));
    assert_true(ncount(c) > 0 && ncount(c) < DOCS);
    for (uint64_t id = 1; id <= ncount(c); id++)
        assert_int_equal(nversion(c, id), id);
    assert_int_equal(nput(c, 1000, 1, &err), ST_DENIED);
    node_collection_unpin(c);
}

static bool reason_has(struct nworld *w, const char *part)
{
    struct collection *c = npin(w, "docs");
    struct collection_info info = ninfo(c);

    node_collection_unpin(c);
    return strstr(info.reason, part) != NULL;
}

static void without_the_bucket_it_is_read_only_and_waits(void **state)
{
    const struct objstore_fault gone = objstore_fault_outage();
    struct nworld w;
    struct place p;

    (void)state;
    make(&w, "heal-waits", DIM, 0, &p);
    nworld_power_cut(&w);
    nflip(&w, p.newest, IN_THE_LOG);
    assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
    nworld_open(&w);
    neventually(reason_has(&w, "waits for the bucket"));
    must_be_read_only(&w, "waits for the bucket");
    nworld_close(&w);
    nworld_open(&w);
    neventually(reason_has(&w, "waits for the bucket"));
    objstore_faults_clear(w.bucket);
    must_be_healed(&w, &p, DOCS);
    nworld_fini(&w);
}

/* What is damaged was acknowledged and never reached the bucket: nothing is thrown away. */
static void what_the_bucket_lacks_is_not_given_up(void **state)
{
    struct nworld w;
    struct place p;
    struct fs_stat before, after;

    (void)state;
    make(&w, "heal-lacks", DIM, TAIL, &p);
    nworld_power_cut(&w);
    assert_int_equal(fs_stat(nworld_fs(&w), p.newest, &before, NULL), ST_OK);
    objstore_faults_clear(w.bucket);
    {
        /* From the middle of the tail: each record is some 100 bytes. */
        int64_t at = WAL_HEAD_BYTES;
        struct buf bytes;
        struct wal_rec rec;
        struct wal_head head;

        buf_init(&bytes, 1 << 20);
        assert_int_equal(fs_read_file(nworld_fs(&w), p.newest, 1 << 20, &bytes, NULL), ST_OK);
        assert_int_equal(wal_head_decode(bytes.data, &head, NULL), ST_OK);
        do {
            assert_true(
                wal_rec_check_header(bytes.data + at, wal_head_seed(&head), (uint64_t)at, &rec));
            at += (int64_t)wal_rec_frame_bytes(rec.payload_bytes);
        } while (rec.lsn < DOCS + TAIL / 2);
        buf_free(&bytes);
        nflip(&w, p.newest, at + 40);
        nworld_open(&w);
        neventually(reason_has(&w, "neither here nor in the bucket"));
        assert_true(nhealth_has(&w, "neither here nor in the bucket"));
        holds(&w, DOCS + TAIL / 2);
        nworld_close(&w);
        nflip(&w, p.newest, at + 40);
    }
    assert_int_equal(fs_stat(nworld_fs(&w), p.newest, &after, NULL), ST_OK);
    assert_int_equal(before.bytes, after.bytes);
    nworld_open(&w);
    neventually(serves(&w));
    holds(&w, DOCS + TAIL);
    nworld_fini(&w);
}

static void a_damaged_checkpoint_whose_log_is_trimmed_comes_from_the_bucket(void **state)
{
    static const char *const parts[] = {"manifest", "rows-0", "live-"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct nworld w;
        struct place p;
        struct collection *c;
        char path[FS_PATH_BYTES];
        struct err err = {0};

        make(&w, "heal-checkpoint", WIDE, 0, &p);
        c = npin(&w, "docs");
        assert_int_equal(nsnapshot(c, NULL, NULL, &err), ST_OK); /* a confirmed hint: or no trim */
        assert_int_equal(nput(c, DOCS + 1, DOCS + 1, NULL), ST_OK);
        neventually(nshipped(c));
        if (ncheckpoint(c, &err) != ST_OK)
            fail_msg("%s", err.text);
        nfile(&w, "snapshots", c, parts[i], true, path);
        node_collection_unpin(c);
        find(&w, &p);
        assert_null(strstr(p.oldest, "0000000000000001.wal")); /* or nothing was trimmed */
        nworld_power_cut(&w);
        nflip(&w, path, -40);
        nworld_open(&w);
        must_be_healed(&w, &p, DOCS + 1);
        nworld_fini(&w);
    }
}

/* Both copies are damaged: what is whole here is served, and both places are named. */
static void a_damaged_bucket_does_not_replace_what_is_whole(void **state)
{
    struct nworld w;
    struct place p;
    struct objstore_fault rot = {.kind = OBJSTORE_FAULT_CORRUPT,
                                 .ops = 1u << OBJSTORE_GET,
                                 .times = OBJSTORE_FAULT_FOR_EVER};
    char prefix[OBJKEY_BYTES];

    (void)state;
    make(&w, "heal-both", DIM, 0, &p);
    nworld_power_cut(&w);
    nflip(&w, p.newest, IN_THE_LOG);
    objkey_group(p.id, 1, 1, prefix);
    rot.key_prefix = prefix;
    assert_int_equal(objstore_faults_add(w.bucket, &rot, NULL, NULL), ST_OK);
    nworld_open(&w);
    neventually(reason_has(&w, "not healed"));
    must_be_read_only(&w, "not healed");
    if (!reason_has(&w, "/w/"))
        nstate(npin(&w, "docs"), "", "");
    nworld_close(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    must_be_healed(&w, &p, DOCS);
    nworld_fini(&w);
}

static void a_collection_of_another_owner_is_not_healed(void **state)
{
    struct nworld w, other;
    struct place p;
    struct collection *c;

    (void)state;
    make(&w, "heal-foreign", DIM, 0, &p);
    nworld_power_cut(&w);
    nworld_init(&other, true, seed + 1);
    nworld_bucket(&other, "heal-foreign");
    other.options.node_id = "other";
    other.options.take_ownership = true;
    nworld_open(&other);
    nsettled(&other);
    c = npin(&other, "docs");
    assert_int_equal(nput(c, 500, 500, NULL), ST_OK);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nworld_close(&other);
    nflip(&w, p.newest, IN_THE_LOG);
    nworld_open(&w);
    neventually(reason_has(&w, "the bucket has it as other's"));
    must_be_read_only(&w, "not healed");
    nworld_fini(&w);
    nworld_fini(&other);
}

/* A process that dies at the n-th effect on the disk, and the next one, and so on: each start goes
 * on or begins again, and in the end every document is there. */
static void a_crash_at_any_effect_of_healing_loses_nothing(void **state)
{
    uint64_t died = 0;
    uint64_t n;

    (void)state;
    for (n = 1 + seed % crash_step;; n += crash_step) {
        struct nworld w;
        struct place p;
        bool done;

        make(&w, "heal-crash", DIM, TAIL, &p);
        nworld_power_cut(&w);
        nflip(&w, p.newest, IN_THE_LOG);
        objstore_faults_clear(w.bucket);
        w.options.checkpoint_interval_ns = UINT64_MAX / 4;
        fs_sim_stop_after(w.sim, n);
        {
            struct err err = {0};
            status st = nworld_try_open(&w, &err);

            while (st == ST_OK && !fs_sim_stopped(w.sim) && !serves(&w))
                npause_ms(1);
            done = !fs_sim_stopped(w.sim);
            if (!done)
                nworld_crash(&w);
        }
        if (done) {
            fs_sim_stop_after(w.sim, UINT64_MAX);
            holds(&w, DOCS + TAIL);
            nworld_fini(&w);
            break;
        }
        died++;
        nworld_open(&w);
        nsettled(&w);
        neventually(serves(&w));
        holds(&w, DOCS + TAIL);
        nall_shipped(&w);
        nlose_disk(&w);
        nworld_open(&w);
        nsettled(&w);
        holds(&w, DOCS + TAIL);
        nworld_fini(&w);
    }
    assert_true(died * crash_step > 20);
    print_message("healing died at %llu effects\n", (unsigned long long)died);
}

/* One object of the bucket rots under a node that is whole: the bucket alone does not give the
 * collection any more, and does again once it was written anew. */
static void a_damaged_bucket_is_written_anew_from_the_node(void **state)
{
    size_t rotten = 0;

    (void)state;
    for (size_t nth = 0;; nth++) {
        struct objstore_req list = {.op = OBJSTORE_LIST, .pool = OBJSTORE_LOG, .key = "c/"};
        struct objstore_req get = {.op = OBJSTORE_GET, .pool = OBJSTORE_LOG, .bytes_max = 1 << 24};
        struct objstore_req put = {.op = OBJSTORE_PUT, .pool = OBJSTORE_LOG};
        struct nworld w;
        struct place p;
        struct collection *c;
        struct err err = {0};
        bool last;

        make(&w, "heal-anew", DIM, 0, &p);
        c = npin(&w, "docs");
        assert_int_equal(ncompact_anew(c, &err), ST_OK); /* a segment, and groups behind it */
        for (uint64_t id = DOCS + 1; id <= DOCS + TAIL; id++)
            assert_int_equal(nput(c, id, (uint32_t)id, NULL), ST_OK);
        neventually(nshipped(c));
        assert_int_equal(objstore_wait(w.bucket, &list, NULL), ST_OK);
        last = nth + 1 >= list.result.entry_count; /* writes that were slow are in more groups */
        if (nth < list.result.entry_count)
            get.key = put.key = list.result.entries[nth].key;
        if (get.key != NULL && strstr(get.key, "/root") == NULL) {
            assert_int_equal(objstore_wait(w.bucket, &get, NULL), ST_OK);
            get.result.body.data[get.result.body.bytes / 2] ^= 4;
            put.body = buf_slice(&get.result.body);
            assert_int_equal(objstore_wait(w.bucket, &put, NULL), ST_OK);
            if (ncompact_anew(c, &err) != ST_OK)
                fail_msg("%s: %s", get.key, err.text);
            rotten++;
        }
        node_collection_unpin(c);
        nlose_disk(&w);
        nworld_open(&w);
        nsettled(&w);
        neventually(serves(&w));
        holds(&w, DOCS + TAIL);
        objstore_result_fini(&get.result);
        objstore_result_fini(&put.result);
        objstore_result_fini(&list.result);
        nworld_fini(&w);
        if (last)
            break;
    }
    assert_true(rotten >= 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_log_comes_from_the_bucket),
        cmocka_unit_test(what_only_the_damaged_log_has_is_kept),
        cmocka_unit_test(without_the_bucket_it_is_read_only_and_waits),
        cmocka_unit_test(what_the_bucket_lacks_is_not_given_up),
        cmocka_unit_test(a_damaged_checkpoint_whose_log_is_trimmed_comes_from_the_bucket),
        cmocka_unit_test(a_damaged_bucket_does_not_replace_what_is_whole),
        cmocka_unit_test(a_damaged_bucket_is_written_anew_from_the_node),
        cmocka_unit_test(a_collection_of_another_owner_is_not_healed),
        cmocka_unit_test(a_crash_at_any_effect_of_healing_loses_nothing),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        crash_step = strtoull(argv[2], NULL, 10);
    if (argc > 3)
        cmocka_set_test_filter(argv[3]);
    print_message("seed=%llu\n", (unsigned long long)seed);
    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

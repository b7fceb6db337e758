/* Every flipped bit of a small data directory and a small bucket is found, mended or harmless: what
 * is served is right, what is not served is named with its file, and what was healed has nothing
 * to say at the next start. The same for files that are cut, gone or older than the others.
 *
 *   test_node_flips [SEED [TRIALS]]                        so many, at random: what CI runs
 *   test_node_flips sweep disk|bucket|lost FILTER STRIDE SHARD SHARDS
 *       every STRIDE-th bit, every cut at a byte STRIDE times fewer, each file gone and stale;
 *       scripts/flip_bits does it for all */
#include "tests/unit/node/flips.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIM = 4, IDS = 20, DOCS = 10, TAIL = 4, PROBE = 19, WAIT_MS = 20000, TRIAL_SECONDS = 90 };
enum mode { ON_DISK, IN_BUCKET, IN_BUCKET_LOST }; /* LOST: and the directory is empty */

static struct flips whole;
static uint32_t want[IDS];           /* versions; 0: deleted or never there */
static char mem_id[UUID_TEXT_BYTES]; /* of the collection without a bucket */
static struct buf letter_text;       /* its records, when nothing was changed */
static char now_trying[512];
static uint64_t wrong_count;

/* --- what is counted --- */

enum outcome { HARMLESS, TOLD, HEALED, READ_ONLY, ABSENT, REFUSED, OUTCOMES };
static const char *const outcome_names[OUTCOMES] = {"harmless",  "told",   "healed",
                                                    "read-only", "absent", "refused"};
enum { KINDS = 24 };
static struct {
    char name[96];
    uint64_t count[OUTCOMES];
} kinds[KINDS];

static const char *kind_of(const struct flips_file *file, enum mode mode)
{
    static const struct {
        const char *part;
        const char *name;
    } parts[] = {
        {"meta/catalog", "meta/catalog"},
        {"meta/format", "meta/format"},
        {"/root", "root"},
        {"/w/", "group"},
        {"/m/", "manifest"},
        {"/g/", "segment or image"},
        {".wal", "log file"},
        {".spare", "spare"},
        {"/manifest", "checkpoint manifest"},
        {"/rows-", "checkpoint rows"},
        {"/live-", "checkpoint live"},
        {"/graph-", "checkpoint graph"},
        {"letters/", "letter's file"},
        {"data.mdb", "LMDB"},
        {"lock", "lock"},
    };
    static char text[96];
    const char *found = file->name;

    for (size_t i = COUNT_OF(parts); i-- > 0;) {
        if (strstr(file->name, parts[i].part) != NULL)
            found = parts[i].name;
    }
    (void)snprintf(text, sizeof text, "%.50s%s", found,
                   mode == IN_BUCKET        ? ", local whole"
                   : mode == IN_BUCKET_LOST ? ", restored"
                                            : "");
    return text;
}

static void count(const struct flips_trial *t, enum mode mode, enum outcome outcome)
{
    const char *kind = kind_of(&whole.at[t->file], mode);
    size_t i = 0;

    while (i + 1 < KINDS && kinds[i].name[0] != '\0' && strcmp(kinds[i].name, kind) != 0)
        i++;
    (void)snprintf(kinds[i].name, sizeof kinds[i].name, "%s", kind);
    kinds[i].count[outcome]++;
}

static void print_table(void)
{
    printf("%-34s", "");
    for (size_t o = 0; o < OUTCOMES; o++)
        printf("%11s", outcome_names[o]);
    printf("\n");
    for (size_t i = 0; i < KINDS && kinds[i].name[0] != '\0'; i++) {
        printf("%-34s", kinds[i].name);
        for (size_t o = 0; o < OUTCOMES; o++)
            printf("%11" PRIu64, kinds[i].count[o]);
        printf("\n");
    }
    (void)fflush(stdout);
}

static void PRINTF_LIKE(1, 2) wrong(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("WRONG: %s: ", now_trying);
    vprintf(format, args);
    printf("\n");
    (void)fflush(stdout);
    va_end(args);
    wrong_count++;
}

static void on_signal(int number)
{
    static const char text[] = "\nDIED while trying: ";

    (void)!write(1, text, sizeof text - 1);
    (void)!write(1, now_trying, strlen(now_trying));
    (void)!write(1, "\n", 1);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* --- the directory and the bucket --- */

static void create_one(struct nworld *w, const char *name, enum node_policy policy)
{
    const struct collection_spec spec = {
        .name = name, .dimension = DIM, .metric = VMETRIC_L2, .threshold = 4, .policy = policy};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
}

static void write_one(struct nworld *w, const char *name, uint64_t id, uint32_t version)
{
    struct collection *c = npin(w, name);

    assert_int_equal(version == 0 ? ndel(c, id, NULL) : nput(c, id, version, NULL), ST_OK);
    node_collection_unpin(c);
    want[id] = version;
}

static void begin_world(struct nworld *w)
{
    nworld_init(w, true, 7);
    nworld_bucket(w, "flips");
    w->options.wal_file_bytes = 5 * 1024; /* several files, the first ones trimmed */
}

static void make_whole(void)
{
    static const char *const names[] = {"mem", "s3"};
    struct flips before;
    struct nworld w;

    begin_world(&w);
    nworld_open(&w);
    nsettled(&w);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct collection *c;

        create_one(&w, names[i], i == 0 ? NODE_MEMORY : NODE_MEMORY_S3);
        for (uint64_t id = 1; id <= DOCS; id++)
            write_one(&w, names[i], id, (uint32_t)id);
        write_one(&w, names[i], 3, 103);
        write_one(&w, names[i], 5, 0);
        c = npin(&w, names[i]);
        if (i == 0)
            memcpy(mem_id, c->id_text, sizeof mem_id);
        neventually(vindex_pending(c->fields[0].vindex) == 0);
        assert_int_equal(i == 0 ? ncheckpoint(c, NULL) : ncompact(c, NULL, NULL), ST_OK);
        if (i == 1)
            assert_int_equal(heal_tail_keep(c, 2, 3, NULL), ST_OK);
        node_collection_unpin(c);
    }
    nall_shipped(&w);
    nworld_close(&w);
    flips_take(&before, &w);
    nworld_open(&w);
    nsettled(&w);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        for (uint64_t id = DOCS + 1; id <= DOCS + TAIL; id++)
            write_one(&w, names[i], id, (uint32_t)id);
    }
    nall_shipped(&w);
    nworld_power_cut(&w); /* no checkpoint of the tail */
    nworld_open(&w);      /* and a log that was closed */
    nsettled(&w);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct collection *c = npin(&w, names[i]);

        collection_set_state(c, COLLECTION_READ_ONLY, "so that its stop writes no checkpoint");
        node_collection_unpin(c);
    }
    nworld_close(&w);
    flips_take(&whole, &w);
    flips_note_before(&whole, &before);
    flips_free(&before);
    nworld_fini(&w);
}

/* --- looking --- */

/* asks: it is waited for what the bucket's catalog says, half a second after the start. */
static bool is_settled(struct nworld *w, bool asks)
{
    static struct collection_info infos[8];
    size_t n = node_collection_list(w->node, NULL, infos, 8);
    bool asked = atomic_load(&w->node->catalog_seen) && !atomic_load(&w->node->sync_wanted);

    if (asks && !asked && !nhealth_has(w, ""))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool failed = strcmp(infos[i].state, "failed") == 0;

        if ((strcmp(infos[i].state, "loading") == 0 && infos[i].reason[0] == '\0') ||
            (infos[i].arriving && !failed) || strstr(infos[i].reason, "being healed") != NULL)
            return false;
    }
    return asks || n == 2 || asked;
}

static bool wait_for(bool (*is)(struct nworld *w, bool arg), struct nworld *w, bool arg)
{
    for (unsigned i = 0; i < WAIT_MS; i++) {
        if (is(w, arg))
            return true;
        npause_ms(1);
    }
    return false;
}

static bool ever_had(uint64_t id, uint32_t version)
{
    return version == 0 || version == id || (id == 3 && version == 103) || version == want[id];
}

/* False: it is not all there. Whatever is there is right, or the trial is wrong. */
static bool is_whole(struct collection *c, bool probed)
{
    bool all = true;

    for (uint64_t id = 1; id < IDS; id++) {
        uint32_t must = id == PROBE ? (probed ? PROBE : 0) : want[id];
        uint32_t version;

        version = nversion(c, id);
        if (!ever_had(id, version) && version != must)
            wrong("document %" PRIu64 " has version %u", id, version);
        if (version != must)
            all = false;
    }
    return all;
}

static bool is_shipped_or_told(struct nworld *w, bool unused)
{
    struct collection *c = npin(w, "s3");
    bool done = nshipped(c) || nhealth_has(w, "s3");

    (void)unused;
    node_collection_unpin(c);
    return done;
}

/* One collection; writes to it where it serves. `probed`: it was written to at an earlier start. */
static enum outcome judge(struct nworld *w, const char *name, bool probed)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    struct collection_info info;
    enum outcome outcome = HARMLESS;
    struct err err = {0};

    if (c == NULL) {
        if (!nhealth_has(w, ""))
            wrong("collection %s is gone and health is fine", name);
        return ABSENT;
    }
    info = ninfo(c);
    if (strcmp(info.state, "serving") == 0 && info.reason[0] == '\0') {
        if (!is_whole(c, probed))
            wrong("collection %s serves and is not whole", name);
        if (nput(c, PROBE, PROBE, &err) != ST_OK)
            wrong("collection %s serves and takes no write: %s", name, err.text);
    } else {
        outcome = strcmp(info.state, "failed") == 0 || strcmp(info.state, "loading") == 0
                      ? ABSENT
                      : READ_ONLY;
        if (info.reason[0] == '\0' || !nhealth_has(w, name))
            wrong("collection %s is %s and health does not name it", name, info.state);
        if (outcome == READ_ONLY && strcmp(info.state, "read_only") == 0)
            (void)is_whole(c, probed);
        if (nput(c, PROBE, PROBE, &err) == ST_OK)
            wrong("collection %s is %s and took a write", name, info.state);
    }
    node_collection_unpin(c);
    return outcome;
}

struct export_call {
    struct call call;
    struct buf text;
};

static void export_done(void *arg, status st, const struct buf *ndjson, const struct err *err)
{
    const struct write_result none = {0};
    struct export_call *e = arg;

    if (st == ST_OK)
        buf_put_slice(&e->text, buf_slice(ndjson));
    call_write_done(&e->call, st, st == ST_OK ? &none : NULL, err);
}

/* The letter's records, or why there are none; without a letter there must be a word. */
static void judge_letter(struct nworld *w)
{
    struct collection *c = node_collection_pin(w->node, "s3", 2);
    struct letter letter;
    struct export_call e = {0};

    if (c == NULL)
        return;
    if (nletter(c, 0, &letter) == 0) {
        if (!nhealth_has(w, ""))
            wrong("the letter is gone and health is fine");
    } else {
        buf_init(&e.text, 1 << 20);
        call_init(&e.call);
        node_dlq_export(c, letter.id, export_done, &e);
        call_wait(&e.call);
        if (e.call.st == ST_OK && letter_text.bytes == 0)
            letter_text = e.text;
        else if (e.call.st == ST_OK && !slice_equal(buf_slice(&letter_text), buf_slice(&e.text)))
            wrong("the letter says something else");
        if (e.text.data != letter_text.data)
            buf_free(&e.text);
    }
    node_collection_unpin(c);
}

static enum outcome worse(enum outcome a, enum outcome b)
{
    return a > b ? a : b;
}

static enum outcome look(struct nworld *w, enum mode mode, bool probed)
{
    enum outcome outcome = HARMLESS;

    if (!wait_for(is_settled, w, mode != ON_DISK))
        wrong("it never comes to rest");
    if (mode != IN_BUCKET_LOST)
        outcome = worse(outcome, judge(w, "mem", probed));
    outcome = worse(outcome, judge(w, "s3", probed));
    if (mode == ON_DISK && !probed) /* later it may leave, as its records are in the bucket */
        judge_letter(w);
    if (outcome == HARMLESS && !wait_for(is_shipped_or_told, w, false))
        wrong("what was written is not shipped and health does not say so");
    if (outcome == HARMLESS && nhealth_has(w, "healed from the bucket"))
        outcome = HEALED;
    return outcome;
}

static char news[NODE_REASON_BYTES];

static bool has_news(struct nworld *w)
{
    struct node_health health;

    node_health(w->node, &health);
    for (size_t i = 0; i < health.reason_count; i++) {
        if (strstr(health.reasons[i], "dead letter") == NULL) {
            memcpy(news, health.reasons[i], sizeof news);
            return true;
        }
    }
    return false;
}

/* --- trials --- */

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash == NULL ? name : slash + 1;
}

static enum outcome start_and_look(struct nworld *w, const struct flips_trial *t, enum mode mode,
                                   bool probed)
{
    struct err err = {0};
    enum outcome outcome;

    if (nworld_try_open(w, &err) != ST_OK) {
        if (strstr(err.text, last_part(whole.at[t->file].name)) == NULL &&
            strstr(err.text, w->dir) == NULL)
            wrong("refused without saying where: %s", err.text);
        return REFUSED;
    }
    outcome = look(w, mode, probed);
    if (outcome == HARMLESS && has_news(w))
        outcome = TOLD;
    return outcome;
}

static void try_one(const struct flips_trial *t, enum mode mode, bool twice)
{
    struct nworld w;
    enum outcome outcome;
    enum outcome again;

    flips_tell(&whole, t, now_trying, sizeof now_trying);
    (void)alarm(TRIAL_SECONDS);
    begin_world(&w);
    flips_put(&whole, &w, t, mode != IN_BUCKET_LOST, true);
    outcome = start_and_look(&w, t, mode, false);
    nworld_close(&w);
    if ((twice || outcome == HEALED) && outcome <= HEALED) {
        again = start_and_look(&w, t, mode, true);
        if (again > TOLD || (outcome == HEALED && again != HARMLESS))
            wrong("after %s the next start is %s: %s", outcome_names[outcome], outcome_names[again],
                  again == TOLD ? news : "");
        nworld_close(&w);
    }
    nworld_fini(&w);
    count(t, mode, outcome);
}

static bool is_of_mode(const struct flips_file *file, enum mode mode)
{
    return file->object == (mode != ON_DISK);
}

/* Any bit, any cut, each file gone and each stale: by its number. */
static uint64_t trials_of(const struct flips_file *file)
{
    return (uint64_t)file->bytes.bytes * 9 + 2;
}

/* What cannot be told from a torn tail (docs/formats/wal.md): a log whose last file is cut at a
 * whole sector, or gone, and nothing else knows of its end. */
static bool cannot_be_told(const struct flips_trial *t)
{
    const char *name = whole.at[t->file].name;

    return strstr(name, ".wal") != NULL && strstr(name, mem_id) != NULL &&
           ((t->change == FLIPS_CUT && t->at % 512 == 0) || t->change == FLIPS_GONE ||
            t->change == FLIPS_STALE);
}

/* To a node that has an empty directory a bucket without meta/catalog is an empty one, and one
 * whose root went back to what it was is as it was then (docs/STATUS.md). */
static bool is_the_only_sign(const struct flips_trial *t, enum mode mode)
{
    const char *name = whole.at[t->file].name;

    return mode == IN_BUCKET_LOST &&
           ((t->change == FLIPS_GONE && strcmp(name, "meta/catalog") == 0) ||
            (t->change == FLIPS_STALE &&
             (strcmp(name, "meta/catalog") == 0 || strstr(name, "/root") != NULL)));
}

static bool trial_by_number(size_t file, uint64_t n, struct flips_trial *out)
{
    const struct flips_file *f = &whole.at[file];
    uint64_t bits = (uint64_t)f->bytes.bytes * 8;

    *out = (struct flips_trial){.file = file};
    if (n < bits) {
        out->change = FLIPS_BIT;
        out->at = n;
    } else if (n < bits + f->bytes.bytes) {
        out->change = FLIPS_CUT;
        out->at = n - bits;
    } else if (n == bits + f->bytes.bytes) {
        out->change = FLIPS_GONE;
    } else {
        out->change = FLIPS_STALE;
        if (f->before.bytes == 0)
            return false;
    }
    return !cannot_be_told(out);
}

/* --- all of it --- */

static void sweep(enum mode mode, const char *filter, uint64_t stride, uint64_t shard,
                  uint64_t shards)
{
    uint64_t tried = 0;

    for (size_t file = 0; file < whole.count; file++) {
        uint64_t n = trials_of(&whole.at[file]);
        uint64_t bits = (uint64_t)whole.at[file].bytes.bytes * 8;

        if (!is_of_mode(&whole.at[file], mode) || strstr(whole.at[file].name, filter) == NULL)
            continue;
        /* Another bit of each byte; what comes behind the bits is tried as often. */
        for (uint64_t i = shard; i < n; i += i < bits ? stride * shards : shards) {
            struct flips_trial t;
            uint64_t at = i < bits && stride % 8 == 0 ? i / 8 * 8 + (i / 8 * 5 + shard) % 8 : i;

            if (i >= bits && i < n - 2 && stride > 1 && (i - bits) % stride >= shards)
                continue;
            if (trial_by_number(file, at, &t) && !is_the_only_sign(&t, mode)) {
                try_one(&t, mode, tried % 16 == 0);
                if (++tried % 5000 == 0)
                    print_table();
            }
        }
    }
    printf("%" PRIu64 " trials, %" PRIu64 " wrong\n", tried, wrong_count);
    print_table();
}

static uint64_t seed = 1;
static uint64_t trials = 40;
static char **arguments;

static void nothing_changed_is_whole(void **state)
{
    (void)state;
    for (enum mode mode = ON_DISK; mode <= IN_BUCKET_LOST; mode++) {
        try_one(&(struct flips_trial){.change = FLIPS_NONE}, mode, true);
        assert_int_equal(wrong_count, 0);
    }
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t o = 1; o < OUTCOMES; o++)
            assert_int_equal(kinds[i].count[o], 0);
    }
    memset(kinds, 0, sizeof kinds);
}

static void any_change_is_found_mended_or_harmless(void **state)
{
    struct rand_seeded r;

    (void)state;
    if (arguments != NULL) {
        sweep(strcmp(arguments[0], "disk") == 0     ? ON_DISK
              : strcmp(arguments[0], "bucket") == 0 ? IN_BUCKET
                                                    : IN_BUCKET_LOST,
              arguments[1], strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10),
              strtoull(arguments[4], NULL, 10));
        assert_int_equal(wrong_count, 0);
        return;
    }
    rand_seeded_init(&r, seed);
    for (uint64_t i = 0; i < trials;) {
        size_t file = rand_below(&r.source, whole.count);
        enum mode mode = !whole.at[file].object ? ON_DISK : (enum mode)(1 + i % 2);
        struct flips_trial t;
        uint64_t n = trials_of(&whole.at[file]);
        /* One in eight is gone or stale. */
        uint64_t at = i % 8 == 0 ? n - 1 - i / 8 % 2 : rand_below(&r.source, n);

        if (!trial_by_number(file, at, &t) || is_the_only_sign(&t, mode))
            continue;
        try_one(&t, mode, i % 4 == 0);
        i++;
    }
    print_table();
    assert_int_equal(wrong_count, 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGSEGV, on_signal);
    (void)signal(SIGBUS, on_signal);
    (void)signal(SIGABRT, on_signal);
    (void)signal(SIGALRM, on_signal);
    make_whole();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)alarm(0);
    flips_free(&whole);
    buf_free(&letter_text);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changed_is_whole),
        cmocka_unit_test(any_change_is_found_mended_or_harmless),
    };

    if (argc == 7 && strcmp(argv[1], "sweep") == 0)
        arguments = argv + 2;
    else if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (arguments == NULL && argc > 2)
        trials = strtoull(argv[2], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    nlog();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

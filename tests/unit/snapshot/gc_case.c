#include "tests/unit/snapshot/gc_case.h"

#include <stdlib.h>

const uint8_t GC_ID[16] = {1, 2, 3};
const uint64_t GC_NOON_NS = 1000000000ull * MS;
struct gc_case gc;

static const uint8_t US[16] = {7};

void gc_name(uint64_t n, uint8_t out[16])
{
    memset(out, 0, 16);
    memcpy(out, &n, sizeof n);
}

void gc_has(const char *key, uint64_t modified_ns)
{
    assert_true(gc.count < GC_KEYS_MAX);
    (void)snprintf(gc.keys[gc.count], sizeof gc.keys[0], "%s", key);
    gc.modified_ns[gc.count++] = modified_ns;
}

void gc_group(uint64_t epoch, uint64_t seq)
{
    char key[OBJKEY_BYTES];

    objkey_group(GC_ID, epoch, seq, key);
    gc_has(key, GC_NOON_NS);
}

void gc_data(uint64_t n)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    gc_name(n, uuid);
    objkey_data(GC_ID, uuid, key);
    gc_has(key, GC_NOON_NS);
}

struct manifest *gc_manifest(uint64_t revision, uint64_t parent, uint64_t n, uint64_t segment,
                             struct log_floor floor, uint64_t modified_ns)
{
    struct manifest *m = &gc.manifests[gc.manifest_count++];
    struct manifest_segment s = {.rows = 0};
    struct err err = {0};
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    manifest_init(m);
    m->revision = revision;
    m->parent_revision = parent;
    m->floor = floor;
    gc_name(segment, s.object.uuid);
    assert_int_equal(manifest_add_segment(m, &s, &err), ST_OK);
    gc_name(n, uuid);
    memcpy(m->collection, uuid, 16); /* the tests' way to find it by its name */
    objkey_manifest(GC_ID, revision, uuid, key);
    gc_has(key, modified_ns);
    return m;
}

void gc_cold(struct manifest *m, uint64_t n, uint64_t dead)
{
    struct manifest_cold c = {.rows = 2, .dead_rows = dead == 0 ? 0 : 1};

    gc_name(n, c.object.uuid);
    gc_name(dead, c.dead.uuid);
    c.dead.bytes = c.dead_rows * 64ull;
    assert_int_equal(manifest_add_cold(m, &c, NULL), ST_OK);
}

void gc_root_names(uint64_t revision, uint64_t n, struct log_floor floor)
{
    gc.root.has_manifest = true;
    gc.root.manifest_revision = revision;
    gc_name(n, gc.root.manifest.uuid);
    gc.root.floor = floor;
    gc.root.revision = revision + 1;
}

void gc_pin(uint64_t n, uint64_t revision, uint64_t manifest_name, uint64_t epoch, uint64_t seq)
{
    struct pin *p = &gc.pins[gc.pin_count++];
    char key[OBJKEY_BYTES];

    *p = (struct pin){
        .root_revision = revision, .manifest_revision = revision, .epoch = epoch, .seq = seq};
    gc_name(n, p->id);
    gc_name(manifest_name, p->manifest.uuid);
    objkey_pin(GC_ID, p->id, key);
    gc_has(key, GC_NOON_NS);
}

struct log_floor gc_at(uint64_t epoch, uint64_t seq)
{
    return (struct log_floor){.epoch = epoch, .seq = seq};
}

static const struct collect_options OPTIONS = {
    .collection = {1, 2, 3}, .session = {7}, .keep_versions = 1, .batch = 1000};

int gc_setup(void **state)
{
    char key[OBJKEY_BYTES];

    (void)state;
    memset(&gc, 0, sizeof gc);
    memcpy(gc.root.collection, GC_ID, sizeof GC_ID);
    memcpy(gc.root.session, US, sizeof US);
    (void)snprintf(gc.root.node_id, sizeof gc.root.node_id, "b");
    gc.root.state = ROOT_LIVE;
    gc.root.revision = 1;
    gc.root.epoch = 3;
    gc.page = 1000;
    gc.now_ms = 5;
    gc.date_ns = GC_NOON_NS;
    objkey_root(GC_ID, key);
    gc_has(key, GC_NOON_NS);
    collect_init(&gc.c, &OPTIONS);
    return 0;
}

int gc_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < gc.manifest_count; i++)
        manifest_free(&gc.manifests[i]);
    collect_fini(&gc.c);
    return 0;
}

bool gc_there(const char *key)
{
    for (size_t i = 0; i < gc.count; i++)
        if (strcmp(gc.keys[i], key) == 0)
            return true;
    return false;
}

bool gc_group_there(uint64_t epoch, uint64_t seq)
{
    char key[OBJKEY_BYTES];

    objkey_group(GC_ID, epoch, seq, key);
    return gc_there(key);
}

bool gc_data_there(uint64_t n)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    gc_name(n, uuid);
    objkey_data(GC_ID, uuid, key);
    return gc_there(key);
}

bool gc_manifest_there(uint64_t revision, uint64_t n)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    gc_name(n, uuid);
    objkey_manifest(GC_ID, revision, uuid, key);
    return gc_there(key);
}

/* --- the bucket's side --- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct objstore_entry *)a)->key, ((const struct objstore_entry *)b)->key);
}

static void answer_list(struct collect_event *e, struct objstore_entry *entries)
{
    for (size_t i = 0; i < gc.count; i++)
        if (strncmp(gc.keys[i], gc.last.prefix, strlen(gc.last.prefix)) == 0 &&
            strcmp(gc.keys[i], gc.last.start_after) > 0)
            entries[e->entry_count++] = (struct objstore_entry){
                .key = gc.keys[i], .bytes = 10, .modified_ns = gc.modified_ns[i]};
    qsort(entries, e->entry_count, sizeof entries[0], by_key);
    e->truncated = e->entry_count > gc.page;
    e->entry_count = e->truncated ? gc.page : e->entry_count;
    e->entries = entries;
}

static void answer_delete(void)
{
    for (size_t i = gc.last.first; i < gc.last.first + gc.last.count; i++) {
        char key[OBJKEY_BYTES];

        collect_key(&gc.c, i, key);
        for (size_t k = 0; k < gc.count; k++)
            if (strcmp(gc.keys[k], key) == 0) {
                memmove(gc.keys[k], gc.keys[gc.count - 1], sizeof gc.keys[0]);
                gc.modified_ns[k] = gc.modified_ns[--gc.count];
            }
    }
}

static void answer_manifest(struct collect_event *e)
{
    struct objkey key = objkey_parse(gc.last.key);

    e->class = OBJSTORE_NOT_FOUND;
    for (size_t i = 0; i < gc.manifest_count && gc_there(gc.last.key); i++)
        if (gc.manifests[i].revision == key.revision &&
            memcmp(gc.manifests[i].collection, key.uuid, 16) == 0) {
            e->class = OBJSTORE_OK;
            e->body = &gc.manifests[i];
        }
}

static void answer_pin(struct collect_event *e)
{
    struct objkey key = objkey_parse(gc.last.key);

    e->class = OBJSTORE_NOT_FOUND;
    for (size_t i = 0; i < gc.pin_count; i++)
        if (memcmp(gc.pins[i].id, key.uuid, 16) == 0) {
            e->class = OBJSTORE_OK;
            e->pin = &gc.pins[i];
        }
}

void gc_answer(void)
{
    struct objstore_entry entries[GC_KEYS_MAX];
    struct collect_event e = {
        .kind = COLLECT_ANSWER, .now_ms = gc.now_ms, .date_ns = gc.date_ns, .text = "what it said"};

    assert_true(gc.asked_count < GC_EFFECTS_MAX);
    gc.asked[gc.asked_count++] = gc.last.kind;
    if (gc.last.kind == COLLECT_TIMER) {
        gc.date_ns += (gc.last.at_ms - gc.now_ms) * MS;
        gc.now_ms = gc.last.at_ms;
        e = (struct collect_event){.kind = COLLECT_TICK, .now_ms = gc.now_ms};
    } else if (gc.faults > 0 && gc.last.kind == gc.fault_kind) {
        gc.faults--;
        e.class = gc.fault;
    } else if (gc.last.kind == COLLECT_READ_ROOT) {
        e.root = &gc.root;
    } else if (gc.last.kind == COLLECT_LIST) {
        answer_list(&e, entries);
    } else if (gc.last.kind == COLLECT_MARK) {
        gc.root.gc_mark = gc.last.revision;
    } else if (gc.last.kind == COLLECT_READ_MANIFEST) {
        answer_manifest(&e);
    } else if (gc.last.kind == COLLECT_READ_PIN) {
        answer_pin(&e);
    } else if (gc.last.kind == COLLECT_DELETE) {
        answer_delete();
    }
    collect_step(&gc.c, &e, &gc.last);
    if (gc.taken_before_delete && gc.c.at == COLLECT_AT_CHECK) {
        gc.root.epoch++;
        memset(gc.root.session, 9, sizeof gc.root.session);
    }
}

enum objstore_class gc_run(void)
{
    gc.asked_count = 0;
    collect_step(&gc.c, &(struct collect_event){.kind = COLLECT_BEGIN, .now_ms = gc.now_ms},
                 &gc.last);
    while (gc.last.kind != COLLECT_FINISHED)
        gc_answer();
    return gc.last.class;
}

size_t gc_asked(enum collect_effect_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < gc.asked_count; i++)
        n += gc.asked[i] == kind;
    return n;
}

void gc_two_versions(void)
{
    gc_manifest(5, 0, 11, 21, gc_at(1, 1), GC_NOON_NS - 10ull * HOUR * MS);
    gc_manifest(9, 5, 12, 22, gc_at(2, 3), GC_NOON_NS - 2ull * HOUR * MS);
    gc_root_names(9, 12, gc_at(2, 3));
    gc_data(21);
    gc_data(22);
    gc_group(1, 1);
    gc_group(1, 2);
    for (uint64_t seq = 1; seq <= 4; seq++)
        gc_group(2, seq);
    gc_group(3, 1);
    gc.root.lineages[gc.root.lineage_count++] = (struct lineage){.epoch = 2, .end_seq = 4};
}

/* When something is published, and what that comes to: the rule against a table, and a model that
 * runs it over hours and counts bytes and requests, with sizes that the formats' own writers say.
 */
#include "base/rand.h"
#include "segment/group.h"
#include "segment/segment.h"
#include "snapshot/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)

static const struct publish_facts QUIET = {.live_rows = 1000000,
                                           .live_bytes = (uint64_t)1000000 * 1600,
                                           .log_bytes = (uint64_t)1000000 * 1600,
                                           .image_rows = 1000000,
                                           .has_graph = true,
                                           .m = 32};

static unsigned due(struct publish_facts f)
{
    bool absorb;

    return publish_due(&f, &absorb);
}

static void the_rule_s_table(void **state)
{
    struct publish_facts f = QUIET;
    bool absorb = true;

    (void)state;
    assert_int_equal(publish_due(&f, &absorb), 0);
    assert_false(absorb);
    f.lineages = ROOT_LINEAGES_MAX / 2 + 1;
    assert_int_equal(publish_due(&f, &absorb), 0);
    assert_true(absorb);

    f = QUIET;
    f.switching = true;
    assert_int_equal(due(f), PUBLISH_BASE);
    f.has_graph = false;
    f.image_rows = 0;
    assert_int_equal(due(f), PUBLISH_BASE);

    f = QUIET; /* seven times and the slack, exactly, is not over it */
    f.segment_bytes = f.live_bytes;
    f.log_bytes = 6 * f.live_bytes + 64 * MIB;
    assert_int_equal(due(f), 0);
    f.log_bytes++;
    assert_int_equal(due(f), PUBLISH_BASE);
    f.changed_rows = 500000;
    assert_int_equal(due(f), PUBLISH_BASE | PUBLISH_IMAGE);

    f = QUIET; /* rows are larger than was thought: no base after the other */
    f.segment_bytes = 10 * f.live_bytes;
    f.log_bytes = 0;
    assert_int_equal(due(f), 0);
    f.log_bytes = f.segment_bytes + 1;
    assert_int_equal(due(f), PUBLISH_BASE);

    f = QUIET; /* as many changed as there were */
    f.changed_rows = 999999;
    assert_int_equal(due(f), 0);
    f.changed_rows = 1000000;
    assert_int_equal(due(f), PUBLISH_IMAGE);
    f.has_graph = false;
    assert_int_equal(due(f), 0);

    f = QUIET; /* the first one */
    f.image_rows = 0;
    f.live_rows = 9999;
    assert_int_equal(due(f), 0);
    f.live_rows = 10000;
    assert_int_equal(due(f), PUBLISH_IMAGE);
    f.live_rows = 500;
    f.idle_ms = 10000;
    assert_int_equal(due(f), PUBLISH_IMAGE);

    f.live_rows = 0; /* a graph of dead rows alone: it would be the first again and again */
    f.live_bytes = f.log_bytes = 0;
    assert_int_equal(due(f), 0);

    f = QUIET; /* small ones are not repeated at every doubling */
    f.live_rows = f.image_rows = 100;
    f.live_bytes = f.log_bytes = 160000;
    f.changed_rows = 200;
    assert_int_equal(due(f), 0);
}

/* An idle collection's image: only what it costs little of. */
static void idle_images_cost_a_share_of_what_changed(void **state)
{
    struct publish_facts f = QUIET;

    (void)state;
    f.idle_ms = 10000;
    f.changed_rows = 200000; /* 20 % of rows of 1,600 bytes: the image costs more than half of it */
    assert_int_equal(due(f), 0);
    f.live_bytes = f.log_bytes = f.live_rows * 24000; /* long vectors */
    assert_int_equal(due(f), PUBLISH_IMAGE);
    f.changed_rows = 49999;
    assert_int_equal(due(f), 0);
    f.changed_rows = 50000;
    assert_int_equal(due(f), PUBLISH_IMAGE);
    f.idle_ms = 9999;
    assert_int_equal(due(f), 0);
}

/* --- the model --- */

struct sizes { /* bytes a row */
    double group, segment;
};

static void fill(float *v, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i++)
        v[i] = (float)i;
}

static struct sizes measure(uint32_t dim)
{
    enum { ROWS = 400, PER_RECORD = 1 };
    float *v = malloc(dim * sizeof *v);
    const struct record_vector vector = {.field = 0, .dim = dim, .values = v};
    struct group_head head = {.epoch = 1, .seq = 1, .first_lsn = 1};
    struct segment_head shead;
    struct segment_writer *segment;
    struct group_writer *group;
    struct slice bytes;
    struct sizes s;

    fill(v, dim);
    assert_int_equal(group_create(&head, &group, NULL), ST_OK);
    assert_int_equal(segment_create(head.collection, 1, &segment, NULL), ST_OK);
    for (uint64_t i = 1; i <= ROWS; i++) {
        struct docid id = docid_u64(i * 1000003);
        struct record_writer w;
        struct buf record;

        buf_init(&record, 1 << 20);
        record_begin(&w, &record, RECORD_UPSERT, i);
        record_put_row(&w, &id, (struct slice){0}, (struct slice){0}, &vector, 1);
        assert_int_equal(record_end(&w, NULL), ST_OK);
        assert_int_equal(group_add(group, i, buf_slice(&record), NULL), ST_OK);
        assert_int_equal(segment_add_row(segment, i, i, &id, (struct slice){0}, (struct slice){0},
                                         &vector, 1, NULL),
                         ST_OK);
        buf_free(&record);
    }
    assert_int_equal(group_finish(group, &head, &bytes, NULL), ST_OK);
    s.group = (double)bytes.bytes / ROWS;
    assert_int_equal(segment_finish(segment, &shead, &bytes, NULL), ST_OK);
    s.segment = (double)bytes.bytes / ROWS;
    group_writer_destroy(group);
    segment_writer_destroy(segment);
    free(v);
    return s;
}

/* A row of an image of `rows` at m 32, every list full: the most it can be. */
static double measure_image(uint32_t rows)
{
    enum { NODES = 640, M = 32 };
    struct image_head head = {.slots_end = rows};
    struct image_writer *w;
    struct slice bytes;
    struct rand_seeded random;
    uint32_t links[2 * M + M];

    rand_seeded_init(&random, rows);
    assert_int_equal(image_create(&head, &w, NULL), ST_OK);
    for (uint32_t i = 0; i < NODES; i++) {
        const struct image_slot slot = {
            .slot = i, .lsn = 1 + i, .id_hash = (uint32_t)rand_u64(&random.source)};
        struct image_node node = {.slot = i, .level = i % M == 0};

        for (uint32_t k = 0; k < COUNT_OF(links); k++)
            links[k] = (uint32_t)rand_below(&random.source, rows);
        node.counts[0] = 2 * M;
        node.links[0] = links;
        node.counts[1] = M;
        node.links[1] = links + 2 * (size_t)M;
        assert_int_equal(image_add_slot(w, &slot, NULL), ST_OK);
        assert_int_equal(image_add_node(w, &node, NULL), ST_OK);
    }
    assert_int_equal(image_finish(w, NODES, &head, &bytes, NULL), ST_OK);
    image_writer_destroy(w);
    return (double)bytes.bytes / NODES;
}

struct load {
    const char *name;
    uint32_t dim;
    uint64_t start_rows; /* there at first, with their image */
    uint32_t rows_per_s;
    uint32_t overwrite_percent;
    uint32_t on_s, off_s; /* bursts; off 0: without a pause */
    uint32_t hours;
    double bytes_max; /* sent a byte of vectors */
    double puts_max;  /* a thousand rows */
};

struct model {
    const struct load *load;
    struct sizes sizes;
    struct publish_facts facts;
    double log, sent, vectors, puts, rows;
    double images, bases;
};

static double image_bytes_of(uint64_t rows)
{
    static double by_bits[33];
    unsigned bits = 1;

    while (bits < 32 && rows >> bits > 0)
        bits++;
    if (by_bits[bits] == 0)
        by_bits[bits] = measure_image((uint32_t)(((uint64_t)1 << bits) - 1));
    return by_bits[bits] * (double)rows;
}

static void send(struct model *m, double bytes, double object_bytes)
{
    m->sent += bytes;
    m->puts += 1 + (double)(uint64_t)(bytes / object_bytes);
}

static void write_one_second(struct model *m)
{
    const struct load *l = m->load;
    uint64_t rows = l->rows_per_s;
    uint64_t fresh = rows * (100 - l->overwrite_percent) / 100;
    double bytes = (double)rows * m->sizes.group;

    m->facts.live_rows += fresh;
    m->facts.changed_rows += rows;
    m->facts.idle_ms = 0;
    m->log += bytes;
    m->vectors += (double)rows * l->dim * 4;
    m->rows += (double)rows;
    send(m, bytes, 4.0 * (double)MIB);
}

static void publish_when_due(struct model *m)
{
    struct publish_facts *f = &m->facts;
    unsigned what;
    bool absorb;

    f->live_bytes = (uint64_t)((double)f->live_rows * m->sizes.segment);
    f->log_bytes = (uint64_t)m->log;
    what = publish_due(f, &absorb);
    if ((what & PUBLISH_BASE) != 0) {
        double bytes = (double)f->live_rows * m->sizes.segment;

        send(m, bytes, 32.0 * (double)MIB);
        f->segment_bytes = (uint64_t)bytes;
        m->log = 0;
        m->bases++;
    }
    if ((what & PUBLISH_IMAGE) != 0) {
        send(m, image_bytes_of(f->live_rows), 32.0 * (double)MIB);
        f->image_rows = f->live_rows;
        f->changed_rows = 0;
        m->images++;
    }
    if (what != 0)
        m->puts += 2; /* manifest and root */
}

static void run_model(const struct load *l)
{
    struct model m = {.load = l, .sizes = measure(l->dim)};
    double worst = 0;

    m.facts = (struct publish_facts){
        .live_rows = l->start_rows, .image_rows = l->start_rows, .has_graph = true, .m = 32};
    m.log = (double)l->start_rows * m.sizes.group;
    for (uint64_t s = 0; s < (uint64_t)l->hours * 3600; s++) {
        if (l->off_s == 0 || s % (l->on_s + l->off_s) < l->on_s)
            write_one_second(&m);
        else
            m.facts.idle_ms += 1000;
        m.facts.has_graph = m.facts.live_rows >= 1000;
        publish_when_due(&m);
        if (m.vectors >= 1024.0 * (double)MIB && m.sent / m.vectors > worst)
            worst = m.sent / m.vectors;
    }
    print_message("%-34s %4u-d: %.3f bytes a byte (worst moment %.3f), %.3f PUT a thousand, "
                  "%.0f images, %.0f bases\n",
                  l->name, l->dim, m.sent / m.vectors, worst, m.puts / m.rows * 1000, m.images,
                  m.bases);
    if (worst > l->bytes_max || m.puts / m.rows * 1000 > l->puts_max)
        fail_msg("%s: more than %.2f bytes or %.2f PUT", l->name, l->bytes_max, l->puts_max);
}

/* At 1,000 rows a second, of vectors alone. An overwritten row is sent like a new one; what comes
 * on top is one base for six rewrites of everything, and an image for each. */
static void bytes_and_requests_stay_bounded_over_hours(void **state)
{
    static const struct load loads[] = {
        {"inserts", 384, 0, 1000, 0, 0, 0, 4, 1.4, 1.2},
        {"inserts", 768, 0, 1000, 0, 0, 0, 4, 1.25, 1.2},
        {"inserts", 1536, 0, 500, 0, 0, 0, 4, 1.15, 2.4},
        {"inserts into a million", 384, 1000000, 1000, 0, 0, 0, 4, 1.4, 1.2},
        {"bursts of inserts", 384, 0, 1000, 0, 20, 15, 8, 1.4, 1.2},
        {"bursts of inserts", 768, 0, 1000, 0, 20, 15, 8, 1.25, 1.2},
        {"bursts into a million", 384, 1000000, 1000, 0, 60, 15, 8, 1.4, 1.2},
        {"bursts into a million", 768, 1000000, 1000, 0, 60, 15, 8, 1.25, 1.2},
        {"half overwrites", 384, 100000, 1000, 50, 0, 0, 8, 1.4, 1.2},
        {"half overwrites", 768, 100000, 1000, 50, 0, 0, 8, 1.25, 1.2},
        {"overwrites of a million", 384, 1000000, 1000, 100, 0, 0, 24, 1.4, 1.2},
        {"overwrites of a million", 768, 1000000, 1000, 100, 0, 0, 24, 1.25, 1.2},
        {"overwrites of a hundred thousand", 384, 100000, 1000, 100, 0, 0, 24, 1.4, 1.2},
        {"overwrites of ten thousand", 384, 10000, 1000, 100, 0, 0, 24, 1.4, 1.2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(loads); i++)
        run_model(&loads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule_s_table),
        cmocka_unit_test(idle_images_cost_a_share_of_what_changed),
        cmocka_unit_test(bytes_and_requests_stay_bounded_over_hours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

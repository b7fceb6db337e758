/* bench_wal.c - how long a durable record takes, beside a bare fdatasync of the same bytes.
 *
 * Usage: bench_wal <directory> [records]
 *
 * First one writer, closed loop: submit, wait for the callback, submit. Each record is followed by
 * a bare pwrite and fdatasync of as many bytes into a file of its own in the same directory, so
 * that both see the same disk at the same time. Then 64 records in flight. */
#include "base/lock.h"
#include "wal/wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_BYTES = 1600, RECORDS = 3000, IN_FLIGHT = 64, BARE_BYTES_MAX = 64 * 1024 * 1024 };

static struct fs *fs;
static uint8_t payload[PAYLOAD_BYTES];

static void must(status st, const struct err *err)
{
    if (st == ST_OK)
        return;
    fprintf(stderr, "bench_wal: %s\n", err->text);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const char *what, double *us, size_t count)
{
    qsort(us, count, sizeof(*us), by_value);
    printf("%-28s p50 %7.1f us   p95 %7.1f us   p99 %7.1f us\n", what, us[count / 2],
           us[count * 95 / 100], us[count * 99 / 100]);
}

static double us_since(uint64_t begin)
{
    return (double)(clock_mono_ns(clock_real()) - begin) / 1e3;
}

static void one_writer(struct wal *w, const char *dir, size_t records)
{
    double *logged = calloc(records, sizeof(double));
    double *bare = calloc(records, sizeof(double));
    char path[FS_PATH_BYTES];
    struct fs_file *file;
    struct err err;
    uint64_t lsn;

    if (logged == NULL || bare == NULL)
        exit(1);
    must(fs_join(path, dir, "bare", &err), &err);
    must(fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, &err), &err);
    must(fs_allocate(fs, file, BARE_BYTES_MAX, &err), &err);
    must(fs_sync(fs, file, &err), &err);
    for (size_t i = 0; i < records; i++) {
        uint64_t begin = clock_mono_ns(clock_real());

        must(wal_append_wait(w, slice_make(payload, PAYLOAD_BYTES), &lsn, &err), &err);
        logged[i] = us_since(begin);
        begin = clock_mono_ns(clock_real());
        must(fs_pwrite(fs, file, payload, PAYLOAD_BYTES,
                       (uint64_t)i * PAYLOAD_BYTES % (BARE_BYTES_MAX - PAYLOAD_BYTES), &err),
             &err);
        must(fs_sync(fs, file, &err), &err);
        bare[i] = us_since(begin);
    }
    fs_close(fs, file);
    must(fs_unlink(fs, path, &err), &err);
    print("bare pwrite + fdatasync", bare, records);
    print("durable record, one writer", logged, records);
    printf("%-28s p50 %7.1f us\n", "difference", logged[records / 2] - bare[records / 2]);
    free(logged);
    free(bare);
}

struct window {
    struct wal *wal;
    struct lock lock;
    struct cond cond;
    size_t submitted; /* guarded by lock, all of them */
    size_t done;
    size_t target;
};

static void one_done(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct window *win = arg;
    struct slice part = slice_make(payload, PAYLOAD_BYTES);
    bool more;
    struct err why;

    must(st, err);
    lock_take(&win->lock);
    win->done++;
    more = win->submitted < win->target;
    win->submitted += more;
    if (win->done == win->target)
        cond_signal(&win->cond);
    lock_drop(&win->lock);
    if (more)
        must(wal_submit(win->wal, &part, 1, one_done, win, &lsn, &why), &why);
}

static void many_in_flight(struct wal *w, size_t records)
{
    struct window win = {.wal = w, .submitted = IN_FLIGHT, .target = records};
    struct slice part = slice_make(payload, PAYLOAD_BYTES);
    uint64_t begin = clock_mono_ns(clock_real());
    struct err err;
    uint64_t lsn;
    double us;

    lock_init(&win.lock, LOCK_RANK_LEAF, "window");
    cond_init(&win.cond);
    for (size_t i = 0; i < IN_FLIGHT; i++)
        must(wal_submit(w, &part, 1, one_done, &win, &lsn, &err), &err);
    lock_take(&win.lock);
    while (win.done < win.target)
        cond_wait(&win.cond, &win.lock);
    lock_drop(&win.lock);
    us = us_since(begin);
    printf("%-28s %.0f records/s, %.1f MB/s\n", "64 in flight", (double)records / us * 1e6,
           (double)records * PAYLOAD_BYTES / us);
    cond_fini(&win.cond);
    lock_fini(&win.lock);
}

int main(int argc, char **argv)
{
    struct wal_engine_options engine_options = {.clock = clock_real(), .rand = rand_kernel()};
    struct wal_options options = {.log_id = "bench"};
    size_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : RECORDS;
    struct wal_report report;
    char dir[FS_PATH_BYTES];
    struct wal *w;
    struct err err;

    if (argc < 2 || records < 100) {
        fprintf(stderr, "usage: bench_wal <directory> [records, at least 100]\n");
        return 2;
    }
    fs = fs_real();
    engine_options.fs = fs;
    memset(payload, 0x5a, sizeof(payload));
    must(fs_join(dir, argv[1], "bench_wal", &err), &err);
    must(fs_remove_all(fs, dir, &err), &err);
    options.dir = dir;
    must(wal_engine_open(&engine_options, &options.engine, &err), &err);
    must(wal_open(&options, &w, &report, &err), &err);
    printf("command: bench_wal <directory> %zu; payload %d bytes\n", records, PAYLOAD_BYTES);
    one_writer(w, dir, records);
    many_in_flight(w, records * 20);
    wal_close(w);
    wal_engine_close(options.engine);
    must(fs_remove_all(fs, dir, &err), &err);
    return 0;
}

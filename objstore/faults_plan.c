/* Which request a fault meets, how long a profile takes, and copies for effects that come late. */
#include "objstore/faults_internal.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>

enum { MILLISECOND_NS = 1000000 };

struct objstore_fault objstore_fault_outage(void)
{
    return (struct objstore_fault){.times = OBJSTORE_FAULT_FOR_EVER, .class = OBJSTORE_TRANSIENT};
}

struct objstore_fault objstore_fault_denied(void)
{
    return (struct objstore_fault){.times = OBJSTORE_FAULT_FOR_EVER,
                                   .class = OBJSTORE_PERMANENT,
                                   .http_status = 403,
                                   .s3_code = "AccessDenied"};
}

struct objstore_fault objstore_fault_bucket_gone(void)
{
    return (struct objstore_fault){.times = OBJSTORE_FAULT_FOR_EVER,
                                   .class = OBJSTORE_PERMANENT,
                                   .http_status = 404,
                                   .s3_code = "NoSuchBucket"};
}

struct objstore_fault objstore_fault_full(void)
{
    return (struct objstore_fault){.times = OBJSTORE_FAULT_FOR_EVER,
                                   .class = OBJSTORE_CAPACITY,
                                   .http_status = 507,
                                   .s3_code = "XMinioStorageFull"};
}

struct objstore_fault objstore_fault_throttle(uint64_t retry_after_ms)
{
    return (struct objstore_fault){.times = OBJSTORE_FAULT_FOR_EVER,
                                   .class = OBJSTORE_THROTTLE,
                                   .http_status = 503,
                                   .s3_code = "SlowDown",
                                   .retry_after_ms = retry_after_ms};
}

static bool concerns(const struct objstore_fault *fault, const struct objstore_req *req)
{
    const char *key = req->key == NULL ? "" : req->key;

    if ((unsigned)req->op >= OBJSTORE_OPS)
        return false;
    if (fault->ops != 0 && (fault->ops >> (unsigned)req->op & 1u) == 0)
        return false;
    if (fault->key_prefix != NULL &&
        strncmp(key, fault->key_prefix, strlen(fault->key_prefix)) != 0)
        return false;
    return fault->key_part == NULL || strstr(key, fault->key_part) != NULL;
}

bool faults_match_locked(struct faults *f, const struct objstore_req *req, struct plan *out)
{
    struct plan *first = NULL;

    for (unsigned i = 0; i < f->shared.plan_count; i++) {
        struct plan *plan = &f->shared.plans[i];
        uint64_t from = plan->fault.nth == 0 ? 1 : plan->fault.nth;
        uint64_t times = plan->fault.times == 0 ? 1 : plan->fault.times;

        if (!plan->active || !concerns(&plan->fault, req))
            continue;
        plan->seen++;
        if (first == NULL && plan->seen >= from &&
            (times == OBJSTORE_FAULT_FOR_EVER || plan->met < times))
            first = plan;
    }
    if (first == NULL)
        return false;
    first->met++;
    *out = *first;
    out->fault.s3_code = first->fault.s3_code == NULL ? NULL : out->s3_code;
    return true;
}

static const char *keep(char *out, size_t bytes, const char *text)
{
    if (text == NULL)
        return NULL;
    (void)snprintf(out, bytes, "%s", text);
    return out;
}

status objstore_faults_add(struct objstore *s, const struct objstore_fault *fault, unsigned *id,
                           struct err *err)
{
    struct faults *f = faults_of(s);
    struct plan *plan = NULL;

    lock_take(&f->shared.lock);
    for (unsigned i = 0; i < f->shared.plan_count && plan == NULL; i++)
        if (!f->shared.plans[i].active)
            plan = &f->shared.plans[i];
    if (plan == NULL && f->shared.plan_count < OBJSTORE_FAULTS_MAX)
        plan = &f->shared.plans[f->shared.plan_count++];
    if (plan != NULL) {
        *plan = (struct plan){.fault = *fault, .active = true};
        plan->fault.key_prefix = keep(plan->key_prefix, sizeof plan->key_prefix, fault->key_prefix);
        plan->fault.key_part = keep(plan->key_part, sizeof plan->key_part, fault->key_part);
        plan->fault.s3_code = keep(plan->s3_code, sizeof plan->s3_code, fault->s3_code);
        if (id != NULL)
            *id = (unsigned)(plan - f->shared.plans);
    }
    lock_drop(&f->shared.lock);
    return plan != NULL ? ST_OK
                        : err_set(err, ST_LIMIT, "more than %d faults", (int)OBJSTORE_FAULTS_MAX);
}

void objstore_faults_remove(struct objstore *s, unsigned id)
{
    struct faults *f = faults_of(s);

    lock_take(&f->shared.lock);
    if (id < f->shared.plan_count)
        f->shared.plans[id].active = false;
    lock_drop(&f->shared.lock);
}

void objstore_faults_clear(struct objstore *s)
{
    for (unsigned i = 0; i < OBJSTORE_FAULTS_MAX; i++)
        objstore_faults_remove(s, i);
}

uint64_t objstore_faults_met(struct objstore *s, unsigned id)
{
    struct faults *f = faults_of(s);
    uint64_t met;

    lock_take(&f->shared.lock);
    met = id < f->shared.plan_count ? f->shared.plans[id].met : 0;
    lock_drop(&f->shared.lock);
    return met;
}

void objstore_faults_profile(struct objstore *s, enum objstore_profile profile)
{
    faults_of(s)->profile = (int)profile;
}

/* The study's figures, milliseconds; the 90 and 99.9 % of writes and the ends are drawn between
 * and beyond them. */
struct quantiles {
    double p50, p90, p99, p999;
};
enum shape { READ, WRITE, LISTING, UNCHANGED, SHAPES };
static const struct quantiles QUANTILES[][SHAPES] = {
    [OBJSTORE_PROFILE_LAN] = {[READ] = {1.5, 3, 10, 25},
                              [WRITE] = {4, 8, 25, 60},
                              [LISTING] = {2, 4, 12, 30},
                              [UNCHANGED] = {1, 2, 6, 15}},
    [OBJSTORE_PROFILE_S3] = {[READ] = {26, 40, 70, 200},
                             [WRITE] = {35, 65, 200, 320},
                             [LISTING] = {24, 33, 46, 150},
                             [UNCHANGED] = {10, 13, 28, 100}},
};
static const double MIB_PER_S[] = {[OBJSTORE_PROFILE_LAN] = 400, [OBJSTORE_PROFILE_S3] = 82};

static enum shape shape_of(enum objstore_op op, bool not_modified)
{
    if (not_modified)
        return UNCHANGED;
    if (op == OBJSTORE_LIST)
        return LISTING;
    return op == OBJSTORE_GET || op == OBJSTORE_HEAD ? READ : WRITE;
}

uint64_t objstore_profile_ns(enum objstore_profile profile, enum objstore_op op, bool not_modified,
                             uint64_t bytes, double u)
{
    static const double at[] = {0, 0.5, 0.9, 0.99, 0.999, 1};
    const struct quantiles *q;
    double values[COUNT_OF(at)];
    size_t i = 1;
    double ms;

    if (profile == OBJSTORE_PROFILE_NONE)
        return 0;
    q = &QUANTILES[profile][shape_of(op, not_modified)];
    values[0] = q->p50 * 0.6;
    values[1] = q->p50;
    values[2] = q->p90;
    values[3] = q->p99;
    values[4] = q->p999;
    values[5] = q->p999 * 1.2;
    while (i + 1 < COUNT_OF(at) && u > at[i])
        i++;
    ms = values[i - 1] * pow(values[i] / values[i - 1], (u - at[i - 1]) / (at[i] - at[i - 1]));
    ms += (double)bytes / (MIB_PER_S[profile] * 1024 * 1024) * 1000;
    return (uint64_t)(ms * MILLISECOND_NS);
}

/* One block: the request, then what it points to. */
struct objstore_req *faults_copy(const struct objstore_req *req)
{
    size_t key = req->key == NULL ? 0 : strlen(req->key) + 1;
    size_t etag = req->etag == NULL ? 0 : strlen(req->etag) + 1;
    size_t upload = req->upload_id == NULL ? 0 : strlen(req->upload_id) + 1;
    size_t parts = req->parts == NULL ? 0 : req->part_count * sizeof req->parts[0];
    size_t bytes = sizeof *req + parts + key + etag + upload + req->body.bytes;
    struct objstore_req *copy = mem_zero(bytes);
    char *at = (char *)copy + sizeof *req;

    if (copy == NULL)
        return NULL;
    copy->op = req->op;
    copy->pool = req->pool;
    copy->condition = req->condition;
    copy->part_number = req->part_number;
    copy->part_count = req->part_count;
    copy->timeout_ms = req->timeout_ms;
#define KEEP(field, size, value)                                                                   \
    if ((size) > 0) {                                                                              \
        memcpy(at, (value), (size));                                                               \
        copy->field = (const void *)at;                                                            \
        at += (size);                                                                              \
    }
    KEEP(parts, parts, req->parts)
    KEEP(key, key, req->key)
    KEEP(etag, etag, req->etag)
    KEEP(upload_id, upload, req->upload_id)
    KEEP(body.data, req->body.bytes, req->body.data)
#undef KEEP
    copy->body.bytes = req->body.bytes;
    return copy;
}

void faults_copy_free(struct objstore_req *copy)
{
    objstore_result_fini(&copy->result);
    mem_free(copy);
}

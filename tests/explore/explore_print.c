/* A choice and a state in words. */
#include "explore.h"

#include "tiering/stream_internal.h"

static char name_of(size_t node, bool mirrored)
{
    return (char)('a' + (mirrored ? 1 - node : node));
}

static void print_code(ex_code code, bool mirrored, FILE *out)
{
    fputc('[', out);
    for (uint8_t lsn = 1; lsn <= code_lsn(code); lsn++) {
        uint8_t record = code_record(code, lsn);

        fprintf(out, "%s%c%d", lsn > 1 ? " " : "", name_of(record >> 3, mirrored), record & 7);
    }
    fputc(']', out);
}

static void print_request(const struct ex_request *r, bool mirrored, FILE *out)
{
    switch ((int)r->kind) {
    case STREAM_DO_READ_ROOT:
        fprintf(out, "read root%s", r->conditional ? " if changed" : "");
        break;
    case STREAM_DO_PUT_ROOT:
        fprintf(out, "CAS of root: epoch %d, revision %d%s", r->root.epoch, r->root.revision,
                !r->applied && !r->etag_now ? ", of an old etag" : "");
        break;
    case STREAM_DO_LIST:
        fprintf(out, "list epoch %d from %d", r->epoch, r->seq);
        break;
    case STREAM_DO_READ_GROUP:
        fprintf(out, "read group %d/%d", r->epoch, r->seq);
        break;
    case STREAM_DO_CHECK_LOCAL:
        fprintf(out, "compare the log");
        break;
    default:
        fprintf(out, "%s group %d/%d ", r->kind == STREAM_DO_COMPARE ? "compare" : "put", r->epoch,
                r->seq);
        print_code(r->code, mirrored, out);
    }
}

static const char *const CHOICES[] = {
    [EX_APPLY] = "applied",
    [EX_ANSWER] = "answered",
    [EX_BOTH] = "applied and answered",
    [EX_LOAD] = "loads the collection anew",
    [EX_TIMER] = "has waited",
    [EX_READ] = "the reader goes on",
    [EX_COLLECT] = "the collector goes on",
    [EX_DELETE] = "the collector deletes",
    [EX_LATE_DELETE] = "late: a delete of",
    [EX_PIN] = "is to pin what it has in the bucket",
    [EX_COLLECTOR_COMES] = "begins to collect",
    [EX_LATE_GROUP] = "late: group",
    [EX_LATE_ROOT] = "late: CAS of root",
    [EX_LOST] = "lost, or late",
    [EX_CONFLICT] = "answered with 409",
    [EX_MISS] = "answered with 404",
    [EX_WRITE] = "writes a record",
    [EX_TAKE] = "is told to take",
    [EX_COMMIT] = "publishes a manifest",
    [EX_CRASH] = "crashes and starts",
    [EX_READER_COMES] = "the reader reads the root",
};

static void print_name(const struct ex_name *n, FILE *out)
{
    if (n->manifest > 0)
        fprintf(out, " manifest %d", n->manifest);
    else
        fprintf(out, " group %d/%d", n->place.epoch, n->place.seq);
}

void choice_print(const struct ex_world *w, const struct ex_choice *c, bool mirrored, FILE *out)
{
    bool alone = c->kind == EX_READ || c->kind == EX_READER_COMES || c->kind == EX_LATE_GROUP ||
                 c->kind == EX_LATE_ROOT || c->kind == EX_LATE_DELETE;
    bool request = c->kind <= EX_BOTH || (c->kind >= EX_LOST && c->kind <= EX_MISS);

    if (!alone)
        fprintf(out, "%c ", name_of(c->node, mirrored));
    fputs(CHOICES[c->kind], out);
    if (c->kind == EX_READ)
        fprintf(out, ": %s",
                w->reader.step == READER_LIST     ? "lists an open run"
                : w->reader.step == READER_LISTED ? "writes its pin"
                                                  : "reads the root again");
    if (c->kind == EX_COLLECT)
        fprintf(out, ": %s", collector_at(&w->collector));
    if (c->kind == EX_DELETE)
        print_name(&w->collector.plan[c->at], out);
    if (c->kind == EX_LATE_DELETE)
        print_name(&w->dead_deletes[c->at], out);
    if (request) {
        fputs(": ", out);
        print_request(&w->node[c->node].req[c->at], mirrored, out);
        if (c->kind == EX_ANSWER)
            fprintf(out, " -> %s", objstore_class_name(w->node[c->node].req[c->at].class));
    } else if (c->kind == EX_WRITE) {
        fputs(c->at == 1 ? ", waits for the bucket" : "", out);
    } else if (c->kind == EX_CRASH) {
        fputs(c->at == 1 ? ", what was remembered is not written" : "", out);
    } else if (c->kind == EX_TIMER) {
        fputs(c->at == EX_TIMER_FENCE ? " for its fence read"
              : c->at == 0            ? " to try the root again"
              : c->at == 1            ? " to try again while taking"
                                      : " to try a group again",
              out);
    } else if (c->kind == EX_LATE_GROUP) {
        fprintf(out, " %d/%d ", w->dead_groups[c->at].epoch, w->dead_groups[c->at].seq);
        print_code(w->dead_groups[c->at].code, mirrored, out);
    }
    fputc('\n', out);
}

static void print_root(const struct ex_root *r, bool mirrored, FILE *out)
{
    size_t owner = code_session_node(r->session);

    fprintf(out, "epoch %d of %c.%d, revision %d, open {", r->epoch,
            owner == EX_NODES ? 'z' : name_of(owner, mirrored),
            r->session == 0 ? 0 : (r->session - 1) / 2, r->revision);
    for (size_t i = 0; i < r->open_count; i++)
        fprintf(out, " %d", r->open[i]);
    fputs(" }, closed {", out);
    for (size_t i = 0; i < r->lineage_count; i++) {
        fprintf(out, " %d/%d", r->lineages[i].epoch, r->lineages[i].end_seq);
        print_code(r->lineages[i].code, mirrored, out);
    }
    fputs(" }", out);
    if (r->manifest > 0) {
        fprintf(out, ", manifest %d from %d/%d ", r->manifest, r->floor_epoch, r->floor_seq);
        print_code(r->floor_code, mirrored, out);
    }
    if (r->gc_mark > 0)
        fprintf(out, ", mark %d", r->gc_mark);
}

static void print_node(const struct ex_world *w, size_t node, bool mirrored, FILE *out)
{
    const struct ex_node *n = &w->node[node];
    const struct stream *s = n->s;

    fprintf(out, "       %c.%d %s, log ", name_of(node, mirrored), n->session,
            stream_phase_name(s->phase));
    print_code(n->log, mirrored, out);
    fprintf(out, " hint %d shipped %d remote %d", code_lsn(n->hint), (int)s->shipped_lsn,
            (int)s->remote_lsn);
    for (size_t i = 0; i < n->req_count; i++) {
        fprintf(out, "%s%s: ", i == 0 ? "; " : ", ", n->req[i].applied ? "applied" : "sent");
        print_request(&n->req[i], mirrored, out);
    }
    fputc('\n', out);
}

void choice_print_state(const struct ex_world *w, bool mirrored, FILE *out)
{
    fputs("       bucket: ", out);
    print_root(&w->root, mirrored, out);
    fputs("; groups", out);
    for (size_t i = 0; i < w->group_count; i++) {
        fprintf(out, " %d/%d", w->groups[i].epoch, w->groups[i].seq);
        print_code(w->groups[i].code, mirrored, out);
    }
    for (size_t i = 0; i < w->manifest_count; i++)
        if (w->manifests[i].there)
            fprintf(out, "; manifest %zu", i + 1);
    if (w->reader.pins && w->reader.step >= READER_PINNED)
        fprintf(out, "; pin%s up to %d/%d", w->reader.step == READER_HOLDS ? " that holds" : "",
                reader_pinned_to(&w->reader).epoch, reader_pinned_to(&w->reader).seq);
    fputc('\n', out);
    for (size_t i = 0; i < EX_NODES; i++)
        print_node(w, mirrored ? 1 - i : i, mirrored, out);
}

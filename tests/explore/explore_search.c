/* Breadth first. A state that is known is 128 bits of hash and where it came from; what is still to
 * be looked at lies in two files, the depth that is read and the one that is written. */
#include "explore.h"

#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_ROOM = 1 << 16, EXAMPLE_STEPS = 4096, SETTLE_STEPS = 500, END = 999 };

struct known {
    uint64_t hash[2];
    uint32_t parent; /* number of the state it was first reached from */
    uint8_t choice;  /* which one of that state's list */
};
struct search {
    const struct ex_bounds *bounds;
    struct known *states;
    uint32_t count, room;
    uint32_t *slots; /* number + 1; open addressing, a power of two */
    uint64_t slot_count;
    FILE *now, *next;
    uint64_t in_now, in_next;
    struct stream streams[EX_NODES], scratch[EX_NODES];
    struct ex_result *result;
};

static void *enough(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "explore: out of memory\n");
        exit(3);
    }
    return p;
}

static void slots_grow(struct search *s)
{
    mem_free(s->slots);
    s->slot_count *= 2;
    s->slots = enough(mem_zero(s->slot_count * sizeof *s->slots));
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t at = s->states[i].hash[0] & (s->slot_count - 1);

        while (s->slots[at] != 0)
            at = (at + 1) & (s->slot_count - 1);
        s->slots[at] = i + 1;
    }
}

/* True: it is new. */
static bool learn(struct search *s, const struct ex_bytes *state, uint32_t parent, uint8_t choice)
{
    uint64_t hash[2] = {hash_bytes(state->data, state->count, 1),
                        hash_bytes(state->data, state->count, 2)};
    uint64_t at = hash[0] & (s->slot_count - 1);

    for (; s->slots[at] != 0; at = (at + 1) & (s->slot_count - 1))
        if (memcmp(s->states[s->slots[at] - 1].hash, hash, sizeof hash) == 0)
            return false;
    if (s->count == s->room) {
        s->room += s->room / 2;
        s->states = enough(mem_resize(s->states, (size_t)s->room * sizeof *s->states));
    }
    s->states[s->count] = (struct known){{hash[0], hash[1]}, parent, choice};
    s->slots[at] = ++s->count;
    if (s->count > s->slot_count / 10 * 7)
        slots_grow(s);
    return true;
}

static void push(struct search *s, const struct ex_bytes *state)
{
    uint32_t head[2] = {s->count - 1, (uint32_t)state->count};

    if (fwrite(head, sizeof head, 1, s->next) != 1 ||
        fwrite(state->data, state->count, 1, s->next) != 1) {
        perror("explore: the frontier's file");
        exit(3);
    }
    s->in_next++;
}

static void pop(struct search *s, uint32_t *number, struct ex_bytes *state)
{
    uint32_t head[2];

    if (fread(head, sizeof head, 1, s->now) != 1 || head[1] > sizeof state->data ||
        fread(state->data, head[1], 1, s->now) != 1) {
        fprintf(stderr, "explore: the frontier's file is cut short\n");
        exit(3);
    }
    *number = head[0];
    state->count = head[1];
}

static FILE *frontier(void)
{
    return enough(tmpfile());
}

static void deeper(struct search *s)
{
    (void)fclose(s->now);
    s->now = s->next;
    rewind(s->now);
    s->in_now = s->in_next;
    s->next = frontier();
    s->in_next = 0;
}

/* A copy whose nodes may be stepped. */
static void copy(struct search *s, const struct ex_world *from, const struct ex_choice *c,
                 struct ex_world *to)
{
    *to = *from;
    if (c->kind == EX_READ || c->kind == EX_READER_COMES || c->kind == EX_LATE_GROUP ||
        c->kind == EX_LATE_ROOT || c->kind == EX_LATE_DELETE)
        return;
    s->scratch[c->node] = s->streams[c->node];
    to->node[c->node].s = &s->scratch[c->node];
}

/* --- what comes of a state when nothing goes wrong any more --- */

/* The first choice that must come, again and again: everything comes to rest, and agrees. */
static void settle(struct ex_world *w, struct ex_result *result)
{
    struct ex_choice choices[EX_CHOICES];

    for (size_t steps = 0; w->problem[0] == '\0'; steps++) {
        size_t count = choice_list(w, choices), at = 0;

        while (at < count && !choice_must(w, &choices[at]))
            at++;
        if (at == count)
            break;
        choice_do(w, &choices[at]);
        if (result != NULL)
            result->transitions++;
        if (steps > SETTLE_STEPS)
            check_fail(w, "it does not come to rest");
    }
    check_quiet(w);
}

/* --- the way to a violation --- */

/* One step of a path; false: there is no such choice. END: nothing is done, the state is at rest.
 */
static bool walk(struct search *s, struct ex_world *w, struct ex_bytes *state, size_t step,
                 unsigned at, bool *mirrored)
{
    struct ex_choice choices[EX_CHOICES];
    size_t count;

    code_read(w, s->bounds, s->streams, state->data, state->count);
    count = choice_list(w, choices);
    printf("%4zu ", step);
    if (at == END) {
        printf("everything has come to rest\n");
        settle(w, NULL);
    } else if (at >= count) {
        printf("there is no choice %u\n", at);
        return false;
    } else {
        choice_print(w, &choices[at], *mirrored, stdout);
        choice_do(w, &choices[at]);
    }
    choice_print_state(w, *mirrored, stdout);
    if (w->problem[0] != '\0')
        printf("     %s\n", w->problem);
    else
        *mirrored = code_world(w, state) != *mirrored;
    return true;
}

bool search_replay(const struct ex_bounds *bounds, const char *path)
{
    static struct search s;
    static struct ex_world w;
    static struct ex_bytes state;
    bool mirrored;
    char *end;

    s.bounds = bounds;
    world_begin(&w, bounds, s.streams);
    mirrored = code_world(&w, &state);
    for (size_t step = 1; *path != '\0' && w.problem[0] == '\0'; step++) {
        unsigned at = (unsigned)strtoul(path, &end, 10);

        if (end == path || !walk(&s, &w, &state, step, at, &mirrored))
            return false;
        path = *end == '.' ? end + 1 : end;
    }
    return w.problem[0] != '\0';
}

static void violated(struct search *s, uint32_t number, unsigned last, const char *problem)
{
    static uint8_t path[EXAMPLE_STEPS];
    static char text[EXAMPLE_STEPS * 4];
    size_t steps = 0, at = 0;

    s->result->violated = true;
    memcpy(s->result->problem, problem, sizeof s->result->problem);
    for (; number != 0 && steps < EXAMPLE_STEPS; number = s->states[number].parent)
        path[steps++] = s->states[number].choice;
    for (; steps > 0; steps--)
        at += (size_t)snprintf(text + at, sizeof text - at, "%d.", path[steps - 1]);
    (void)snprintf(text + at, sizeof text - at, "%u", last);
    (void)search_replay(s->bounds, text);
    printf("path: %s\n", text);
}

/* --- one state --- */

static void expand(struct search *s, uint32_t number, const struct ex_bytes *state)
{
    static struct ex_world w, after;
    static struct ex_bytes reached;
    struct ex_choice choices[EX_CHOICES];
    bool quiet = true;
    size_t count;

    code_read(&w, s->bounds, s->streams, state->data, state->count);
    count = choice_list(&w, choices);
    assert(count <= EX_CHOICES);
    for (size_t i = 0; i < count; i++) {
        quiet = quiet && !choice_must(&w, &choices[i]);
        copy(s, &w, &choices[i], &after);
        choice_do(&after, &choices[i]);
        s->result->transitions++;
        if (after.problem[0] != '\0') {
            violated(s, number, (unsigned)i, after.problem);
            return;
        }
        (void)code_world(&after, &reached);
        if (learn(s, &reached, number, (uint8_t)i))
            push(s, &reached);
    }
    s->result->quiet += quiet;
    if (!quiet && (s->bounds->settle == 0 || number % s->bounds->settle != 0))
        return;
    s->result->settled++;
    settle(&w, s->result);
    if (w.problem[0] != '\0')
        violated(s, number, END, w.problem);
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void begin(struct search *s)
{
    static struct ex_world w;
    static struct ex_bytes state;

    s->room = FIRST_ROOM;
    s->slot_count = FIRST_ROOM * 2;
    s->states = enough(mem_alloc(s->room * sizeof *s->states));
    s->slots = enough(mem_zero(s->slot_count * sizeof *s->slots));
    s->now = frontier();
    s->next = frontier();
    world_begin(&w, s->bounds, s->streams);
    (void)code_world(&w, &state);
    (void)learn(s, &state, 0, 0);
    push(s, &state);
}

void search_run(const struct ex_bounds *bounds, uint64_t states_max, bool quiet,
                struct ex_result *out)
{
    static struct search s;
    static struct ex_bytes state;
    double began = now_s();
    uint32_t number;

    memset(out, 0, sizeof *out);
    s = (struct search){.bounds = bounds, .result = out};
    begin(&s);
    while (s.in_next > 0 && !out->violated && s.count < states_max) {
        deeper(&s);
        out->deepest++;
        while (s.in_now > 0 && !out->violated && s.count < states_max) {
            s.in_now--;
            pop(&s, &number, &state);
            expand(&s, number, &state);
        }
        if (!quiet) {
            fprintf(stderr,
                    "depth %" PRIu64 ": %" PRIu32 " states, %" PRIu64 " to look at, %.0f s\n",
                    out->deepest, s.count, s.in_next, now_s() - began);
        }
    }
    out->finished = s.in_next == 0 && s.in_now == 0 && !out->violated;
    out->deepest -= out->finished; /* the last depth had nothing new */
    out->states = s.count;
    out->seconds = now_s() - began;
    (void)fclose(s.now);
    (void)fclose(s.next);
    mem_free(s.states);
    mem_free(s.slots);
}

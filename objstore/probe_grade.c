#include "objstore/probe.h"

#include <stdio.h>

static const struct about {
    const char *name, *says;
    bool counts;
} ABOUT[PROBE_FACTS] = {
    [PROBE_READ] = {"read", "what was put is read back", true},
    [PROBE_OVERWRITE] = {"overwrite", "a read behind a second put has the second", true},
    [PROBE_CREATE_TWICE] = {"create_twice", "If-None-Match: * keeps what is there", true},
    [PROBE_CREATE_RACE] = {"create_race", "of 32 that create at once one wins", true},
    [PROBE_MATCH_RIGHT] = {"match_right", "If-Match with the newest etag replaces", true},
    [PROBE_MATCH_STALE] = {"match_stale", "If-Match with an older etag keeps what is there", true},
    [PROBE_MATCH_MISSING] = {"match_missing", "If-Match where nothing is makes nothing", true},
    [PROBE_MATCH_RACE] = {"match_race", "of 32 that replace at once one wins", true},
    [PROBE_LIST] = {"list", "a listing shows what was put and deleted, at once", true},
    [PROBE_RANGE] = {"range", "ranges are the bytes asked for", true},
    [PROBE_LIST_ORDER] = {"list_order", "listings rise", false},
    [PROBE_NOT_MODIFIED] = {"not_modified", "a GET of what is known is 304", false},
    [PROBE_CHECKSUM] = {"checksum", "a wrong crc32c is refused", false},
    [PROBE_COMPLETE_TWICE] = {"complete_twice", "completing an upload keeps the condition", false},
    [PROBE_CLOCK] = {"clock", "its clock is within 5 minutes of ours", false},
};

const char *probe_fact_name(enum probe_fact_id id)
{
    return ABOUT[id].name;
}

const char *probe_fact_says(enum probe_fact_id id)
{
    return ABOUT[id].says;
}

bool probe_fact_counts(enum probe_fact_id id)
{
    return ABOUT[id].counts;
}

const char *probe_answer_name(enum probe_answer answer)
{
    static const char *const names[] = {"unknown", "holds", "broken", "refused"};

    return (unsigned)answer < COUNT_OF(names) ? names[answer] : "unknown";
}

const char *probe_grade_name(enum probe_grade grade)
{
    static const char *const names[] = {"none", "A", "B", "C", "unfit"};

    return (unsigned)grade < COUNT_OF(names) ? names[grade] : "none";
}

/* HOLDS only where all do; else the first that is not, and an answer before a silence. */
static enum probe_answer all_of(const struct probe_fact facts[PROBE_FACTS],
                                const enum probe_fact_id *ids, size_t count)
{
    enum probe_answer found = PROBE_HOLDS;

    for (size_t i = 0; i < count; i++) {
        enum probe_answer a = facts[ids[i]].answer;

        if (a == PROBE_BROKEN || a == PROBE_REFUSED)
            return a;
        if (a != PROBE_HOLDS)
            found = PROBE_UNKNOWN;
    }
    return found;
}

enum probe_grade probe_grade(const struct probe_fact facts[PROBE_FACTS])
{
    static const enum probe_fact_id base[] = {PROBE_READ, PROBE_OVERWRITE, PROBE_LIST, PROBE_RANGE};
    static const enum probe_fact_id create[] = {PROBE_CREATE_TWICE, PROBE_CREATE_RACE};
    static const enum probe_fact_id match[] = {PROBE_MATCH_RIGHT, PROBE_MATCH_STALE,
                                               PROBE_MATCH_MISSING, PROBE_MATCH_RACE};
    enum probe_answer b = all_of(facts, base, COUNT_OF(base));
    enum probe_answer c = all_of(facts, create, COUNT_OF(create));
    enum probe_answer m = all_of(facts, match, COUNT_OF(match));

    if (b == PROBE_BROKEN || b == PROBE_REFUSED)
        return PROBE_GRADE_UNFIT;
    if (b == PROBE_UNKNOWN)
        return PROBE_GRADE_NONE;
    if (c == PROBE_BROKEN || c == PROBE_REFUSED)
        return PROBE_GRADE_C;
    if (c == PROBE_UNKNOWN || m == PROBE_UNKNOWN)
        return PROBE_GRADE_NONE;
    return m == PROBE_HOLDS ? PROBE_GRADE_A : PROBE_GRADE_B;
}

/* The worst that counts, in the order of the list. */
static enum probe_fact_id culprit(const struct probe_report *report)
{
    for (unsigned i = 0; i < PROBE_FACTS; i++)
        if (ABOUT[i].counts && report->facts[i].answer != PROBE_HOLDS)
            return (enum probe_fact_id)i;
    return PROBE_FACTS;
}

void probe_verdict(const struct probe_report *report, char text[PROBE_VERDICT_BYTES])
{
    static const char *const advice[] = {
        [PROBE_GRADE_NONE] = "it has no grade yet",
        [PROBE_GRADE_A] = "it keeps every condition the node relies on",
        [PROBE_GRADE_B] = "two nodes could replace each other's writes unnoticed: use another "
                          "store, or [storage] pinned_owner (docs/bucket.md)",
        [PROBE_GRADE_C] = "two nodes would destroy each other's data unnoticed: use another store, "
                          "or [storage] pinned_owner (docs/bucket.md)",
        [PROBE_GRADE_UNFIT] = "what was acknowledged could not be found again; use another store",
    };
    enum probe_fact_id id = culprit(report);
    const char *fact = id == PROBE_FACTS ? "" : report->facts[id].text;

    (void)snprintf(text, PROBE_VERDICT_BYTES, "grade %s: %s%.*s%s%s",
                   probe_grade_name(report->grade),
                   id == PROBE_FACTS ? ""
                   : fact[0] != '\0' ? ""
                                     : ABOUT[id].says,
                   PROBE_TEXT_BYTES, fact, id == PROBE_FACTS ? "" : "; ", advice[report->grade]);
}

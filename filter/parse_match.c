/* The compatible dialect: what a value, an id or a vector's name may be matched with. */
#include "filter/parse_internal.h"
#include "filter/text.h"

#include "base/rand.h"

#include <stdlib.h>

static status parse_words(struct parser *p, const struct place *at, enum filter_kind kind,
                          const struct path *path, struct jval v, struct filter **out)
{
    struct err why = {0};
    struct filter *f;
    status st = parse_node(p, kind, path, &f);

    if (st == ST_OK)
        st = parse_string(p, at, v, &f->text);
    if (st != ST_OK)
        return st;
    st = text_cut(f, p->arena, &why);
    if (st != ST_OK)
        return parse_refuse(p, at, st, "%s", why.text);
    *out = f;
    return ST_OK;
}

static status parse_prefix(struct parser *p, const struct place *at, const struct path *path,
                           struct jval v, struct filter **out)
{
    struct filter *f;
    status st = parse_node(p, FILTER_PREFIX, path, &f);

    if (st == ST_OK)
        st = parse_string(p, at, v, &f->text);
    if (st == ST_OK)
        *out = f;
    return st;
}

status parse_match(struct parser *p, const struct place *at, const struct path *path, struct jval v,
                   struct filter **out)
{
    enum { VALUE, ANY, EXCEPT, TEXT, TEXT_ANY, PHRASE, PREFIX, MATCH_COUNT };
    struct member m[MATCH_COUNT] = {
        [VALUE] = {.name = "value"},       [ANY] = {.name = "any"},
        [EXCEPT] = {.name = "except"},     [TEXT] = {.name = "text"},
        [TEXT_ANY] = {.name = "text_any"}, [PHRASE] = {.name = "phrase"},
        [PREFIX] = {.name = "prefix"},
    };
    status st = parse_members(
        p, at, v, "a match {value, any, except, text, text_any, phrase or prefix}", m, MATCH_COUNT);
    size_t kinds = 0;
    size_t kind = 0;
    struct place place;

    for (size_t i = 0; i < MATCH_COUNT; i++)
        if (m[i].there) {
            kind = i;
            kinds++;
        }
    if (st != ST_OK)
        return st;
    if (kinds != 1)
        return parse_refuse(
            p, at, ST_INVALID,
            "a match has one of value, any, except, text, text_any, phrase and prefix");
    place = place_of(at, m[kind].name);
    v = m[kind].value;
    switch (kind) {
    case VALUE:
        return parse_one_value(p, &place, path, v, false, out);
    case ANY:
        return parse_list(p, &place, FILTER_ANY_OF, path, v, false, out);
    case EXCEPT:
        return parse_list(p, &place, FILTER_EXCEPT, path, v, false, out);
    case TEXT:
        return parse_words(p, &place, FILTER_TEXT, path, v, out);
    case TEXT_ANY:
        return parse_words(p, &place, FILTER_TEXT_ANY, path, v, out);
    case PHRASE:
        return parse_words(p, &place, FILTER_PHRASE, path, v, out);
    default:
        return parse_prefix(p, &place, path, v, out);
    }
}

static status parse_id(struct parser *p, const struct place *at, struct jval v, struct docid *out)
{
    struct slice text = {0};

    if (jval_u64(v, &out->u64)) {
        out->kind = DOCID_U64;
        return ST_OK;
    }
    if (jval_type(v) == J_STRING)
        text = jval_string(v);
    if (jval_type(v) == J_STRING && uuid_parse((const char *)text.data, text.bytes, out->uuid)) {
        out->kind = DOCID_UUID;
        return ST_OK;
    }
    if (p->string_ids && text.bytes > 0 && text.bytes <= DOCID_BYTES_MAX) {
        out->kind = DOCID_BYTES;
        return parse_string(p, at, v, &out->bytes);
    }
    if (jval_type(v) != J_STRING)
        return parse_needs(p, at, "an unsigned integer or a UUID", v);
    return parse_refuse(p, at, ST_INVALID,
                        "value \"%.*s\" is not a valid point ID, valid values are either an "
                        "unsigned integer or a UUID",
                        text.bytes < 64 ? (int)text.bytes : 64, (const char *)text.data);
}

static int compare_ids(const void *a, const void *b)
{
    return docid_compare(a, b);
}

status parse_has_id(struct parser *p, const struct place *at, struct jval v, struct filter **out)
{
    struct docid *ids;
    struct filter *f;
    size_t count = 0;
    size_t kept = 0;
    status st;

    if (jval_type(v) != J_ARRAY)
        return parse_needs(p, at, "a list of ids", v);
    ids = arena_array(p->arena, jval_count(v) + 1, sizeof *ids);
    if (ids == NULL)
        return parse_nomem(p);
    for (struct jiter it = jval_iter(v); jiter_next(&it); count++) {
        struct place element = place_at(at, count);

        ids[count] = (struct docid){0};
        st = parse_id(p, &element, it.value, &ids[count]);
        if (st != ST_OK)
            return st;
    }
    if (count == 0)
        return parse_node(p, FILTER_NONE, NULL, out);
    qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !docid_equal(&ids[kept - 1], &ids[i]))
            ids[kept++] = ids[i];
    st = parse_node(p, FILTER_HAS_ID, NULL, &f);
    if (st != ST_OK)
        return st;
    f->ids = ids;
    f->id_count = kept;
    *out = f;
    return ST_OK;
}

status parse_has_vector(struct parser *p, const struct place *at, struct jval v,
                        struct filter **out)
{
    struct filter *f;
    status st = parse_node(p, FILTER_HAS_VECTOR, NULL, &f);

    if (st == ST_OK)
        st = parse_string(p, at, v, &f->vector_name);
    if (st == ST_OK)
        *out = f;
    return st;
}

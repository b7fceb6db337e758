/* What values are: exact numbers, times, words, places; and what binding changes. */
#include "ask.h"

#include "filter/words.h"

#include <stdio.h>

static int tear_down(void **state)
{
    (void)state;
    ask_free();
    return 0;
}

/* A condition on the key v, and a value there. */
static bool holds(const char *condition, const char *value)
{
    char filter[2048], payload[4096];

    (void)snprintf(filter, sizeof filter, "{\"must\":{\"key\":\"v\",%s}}", condition);
    (void)snprintf(payload, sizeof payload, "{\"v\":%s}", value);
    return ask(filter, payload);
}

static bool ranges(const char *bounds, const char *value)
{
    char condition[1024];

    (void)snprintf(condition, sizeof condition, "\"range\":{%s}", bounds);
    return holds(condition, value);
}

static bool matches(const char *kind, const char *wanted, const char *value)
{
    char condition[1024];

    (void)snprintf(condition, sizeof condition, "\"match\":{\"%s\":%s}", kind, wanted);
    return holds(condition, value);
}

static void integers_stay_exact(void **state)
{
    (void)state;
    assert_true(matches("value", "9007199254740993", "9007199254740993"));
    assert_false(matches("value", "9007199254740993", "9007199254740992"));
    assert_false(matches("value", "9007199254740992", "9007199254740992.0"));
    assert_true(matches("value", "18446744073709551615", "18446744073709551615"));
    assert_false(matches("value", "18446744073709551615", "18446744073709551614"));
    assert_true(matches("value", "-9223372036854775808", "-9223372036854775808"));
    assert_false(matches("value", "9223372036854775808", "-9223372036854775808"));
    assert_true(matches("any", "[1,-1,3,4,5,6]", "-1"));
    assert_false(matches("any", "[1,-1,3,4,5,6]", "18446744073709551615"));
    assert_true(matches("value", "0", "-0"));
    assert_false(matches("value", "0", "-0.0"));

    assert_true(ranges("\"gt\":9007199254740992", "9007199254740993"));
    assert_false(ranges("\"gt\":9007199254740993", "9007199254740993"));
    assert_true(ranges("\"gt\":9007199254740992.0", "9007199254740993"));
    assert_true(ranges("\"gte\":18446744073709551615", "18446744073709551615"));
    assert_false(ranges("\"gte\":18446744073709551615", "18446744073709551614"));
    assert_false(ranges("\"gte\":18446744073709551616.0", "18446744073709551615"));
    assert_true(ranges("\"lt\":18446744073709551616.0", "18446744073709551615"));
    assert_true(ranges("\"lt\":18446744073709551615", "9223372036854775808.0"));
    assert_true(ranges("\"gt\":18446744073709551615", "18446744073709551616.0"));
    assert_true(ranges("\"lt\":-9223372036854775807", "-9223372036854775808"));
    assert_true(ranges("\"gte\":-9223372036854775808.0", "-9223372036854775808"));
    assert_false(ranges("\"gt\":-9223372036854775808.0", "-9223372036854775808"));
    assert_true(ranges("\"gt\":-9223372036854777856.0", "-9223372036854775808"));
    assert_true(ranges("\"gt\":-1", "18446744073709551615"));
    assert_true(ranges("\"lt\":0", "-1"));
    assert_true(ranges("\"gt\":0.5", "1"));
    assert_false(ranges("\"gt\":1.5", "1"));
    assert_true(ranges("\"lt\":1.5", "1"));
    assert_true(ranges("\"lt\":-0.5", "-1"));
    assert_false(ranges("\"gt\":-0.5", "-1"));
    assert_true(ranges("\"gt\":-1.5", "-1"));
    assert_true(ranges("\"lte\":1", "1.0"));
    assert_false(ranges("\"lt\":1", "1.0"));
    assert_true(ranges("\"gte\":0.1", "0.1"));
    assert_true(ranges("\"lt\":1e308", "1e307"));
}

static void bounds_of_one_side_hold_both(void **state)
{
    (void)state;
    assert_false(ranges("\"gt\":1,\"gte\":1", "1"));
    assert_false(ranges("\"gte\":1,\"gt\":1", "1"));
    assert_false(ranges("\"gt\":1,\"gte\":3", "2"));
    assert_true(ranges("\"gt\":1,\"gte\":3", "3"));
    assert_false(ranges("\"lt\":5,\"lte\":5", "5"));
    assert_true(ranges("\"lt\":9,\"lte\":5", "5"));
    assert_false(ranges("\"lt\":5,\"lte\":9", "5"));
    assert_false(ranges("\"gt\":5,\"lt\":5", "5"));
}

static void our_own_numbers_equal_whatever_their_kind(void **state)
{
    (void)state;
    assert_true(ask("${\"v\":1}", "{\"v\":1.0}"));
    assert_true(ask("${\"v\":-3.0}", "{\"v\":-3}"));
    assert_true(ask("${\"v\":0}", "{\"v\":-0.0}"));
    assert_true(ask("${\"v\":9007199254740992.0}", "{\"v\":9007199254740992}"));
    assert_false(ask("${\"v\":9007199254740992.0}", "{\"v\":9007199254740993}"));
    assert_true(ask("${\"v\":2.5}", "{\"v\":2.5}"));
    assert_true(ask("${\"v\":1e300}", "{\"v\":1e300}"));
    assert_false(ask("${\"v\":1}", "{\"v\":true}"));
    assert_false(ask("${\"v\":1}", "{\"v\":\"1\"}"));
    assert_true(ask("${\"v\":{\"$in\":[1,2,3,4,5.0,6]}}", "{\"v\":5}"));
    assert_true(ask("${\"v\":{\"$in\":[1,2,3,4,5,6]}}", "{\"v\":5.0}"));
    assert_false(ask("${\"v\":{\"$in\":[1,2,3,4,5,6]}}", "{\"v\":5.5}"));
}

static void texts_match_byte_for_byte(void **state)
{
    (void)state;
    assert_true(matches("value", "\"red\"", "\"red\""));
    assert_false(matches("value", "\"red\"", "\"Red\""));
    assert_false(matches("value", "\"red\"", "\"red \""));
    assert_true(matches("value", "\"\"", "\"\""));
    assert_true(matches("value", "\"a\\u0000b\"", "\"a\\u0000b\""));
    assert_false(matches("value", "\"a\\u0000b\"", "\"a\\u0000c\""));
    assert_true(matches("any", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"\"]", "\"\""));
    assert_false(matches("any", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"\"]", "\"f\""));
    assert_true(matches("except", "[\"a\"]", "[\"a\",\"b\"]"));
    assert_true(matches("prefix", "\"re\"", "\"red\""));
    assert_true(matches("prefix", "\"red\"", "[\"blue\",\"red\"]"));
    assert_false(matches("prefix", "\"red\"", "\"re\""));
    assert_false(matches("prefix", "\"re\"", "\"Red\""));
    assert_false(matches("prefix", "\"ed\"", "\"red\""));
}

static void times_compare_as_times(void **state)
{
    (void)state;
    assert_true(ranges("\"gt\":\"2024-01-01T00:00:00Z\"", "\"2024-01-01T00:00:01Z\""));
    assert_false(ranges("\"gt\":\"2024-01-01T00:00:00Z\"", "\"2024-01-01\""));
    assert_true(ranges("\"gte\":\"2024-01-01T00:00:00Z\"", "\"2024-01-01\""));
    assert_true(ranges("\"gte\":\"2024-01-01 01:00+01:00\"", "\"2024-01-01\""));
    assert_true(ranges("\"lt\":\"2024-01-01\"", "\"2024-01-01T00:59:59.9999999+01\""));
    assert_true(
        ranges("\"gt\":\"2023-12-31\",\"lt\":\"2024-01-02\"", "[\"1999-01-01\",\"2024-01-01\"]"));
    assert_false(
        ranges("\"gt\":\"2023-12-31\",\"lt\":\"2024-01-02\"", "[\"1999-01-01\",\"2025-01-01\"]"));
    assert_false(ranges("\"gt\":\"0001-01-01\"", "\"yesterday\""));
    assert_false(ranges("\"gt\":\"0001-01-01\"", "1700000000"));
    assert_false(ranges("\"gt\":0", "\"2024-01-01\""));
    assert_true(ranges("\"lte\":\"9999-12-31\"", "\"0001-01-01\""));
    assert_true(ask("${\"v\":{\"$lt\":\"2024-02-01\"}}", "{\"v\":\"2024-01-31T23:59\"}"));
    assert_false(ask("${\"v\":{\"$lt\":\"2024-02-01\"}}", "{\"v\":\"2024-02-01\"}"));
    assert_true(ask("${\"v\":\"2024-02-01\"}", "{\"v\":\"2024-02-01\"}"));
    assert_false(ask("${\"v\":\"2024-02-01\"}", "{\"v\":\"2024-02-01T00:00\"}"));
}

static void words_occur_whole(void **state)
{
    static const char text[] = "\"Good, cheap COFFEE; not-bad \\u00c9clairs\"";

    (void)state;
    assert_true(matches("text", "\"good coffee\"", text));
    assert_true(matches("text", "\"coffee good coffee\"", text));
    assert_true(matches("text", "\"\\u00e9CLAIRS, bad!\"", text));
    assert_false(matches("text", "\"good tea\"", text));
    assert_false(matches("text", "\"good tea\"", "\"good good\""));
    assert_false(matches("text", "\"coff\"", text));
    assert_false(matches("text", "\"...\"", text));
    assert_true(matches("text", "\"good cheap coffee not bad \\u00e9clairs\"", text));
    assert_false(matches("text", "\"good cheap coffee not bad \\u00e9clairs tea\"", text));
    assert_true(matches("text_any", "\"tea good\"", text));
    assert_true(matches("text_any", "\"a b c d e f g coffee\"", text));
    assert_false(matches("text_any", "\"tea milk\"", text));
    assert_false(matches("text_any", "\"\"", text));
    assert_true(matches("phrase", "\"cheap coffee\"", text));
    assert_true(matches("phrase", "\"not bad\"", text));
    assert_false(matches("phrase", "\"good coffee\"", text));
    assert_false(matches("phrase", "\"coffee cheap\"", text));
    assert_false(matches("phrase", "\"\"", text));
    assert_true(matches("text", "\"b\"", "[\"a\",\"b\"]"));
    assert_false(matches("text", "\"a b\"", "[\"a\",\"b\"]"));
    assert_false(matches("phrase", "\"a b\"", "[\"a\",\"b\"]"));
}

/* Where a phrase that met half of itself begins anew. */
static void phrases_that_repeat_themselves(void **state)
{
    static const char *const words[] = {"a", "b"};

    (void)state;
    for (unsigned phrase = 1; phrase < 64; phrase++)
        for (unsigned text = 1; text < 512; text++) {
            char wanted[64] = "", value[64] = "";
            unsigned found = 0;
            unsigned phrase_words = 0, text_words = 0;

            /* The highest bit that is set tells where the words end. */
            while (phrase >> (phrase_words + 1) != 0)
                phrase_words++;
            while (text >> (text_words + 1) != 0)
                text_words++;
            for (unsigned i = 0; i < phrase_words; i++)
                strcat(strcat(wanted, words[phrase >> i & 1]), " ");
            for (unsigned i = 0; i < text_words; i++)
                strcat(strcat(value, words[text >> i & 1]), " ");
            for (unsigned at = 0; phrase_words > 0 && at + phrase_words <= text_words; at++)
                found |= ((text >> at ^ phrase) & ((1u << phrase_words) - 1)) == 0;
            {
                char a[80], b[80];

                (void)snprintf(a, sizeof a, "\"%s\"", wanted);
                (void)snprintf(b, sizeof b, "\"%s\"", value);
                if (matches("phrase", a, b) != (found != 0))
                    fail_msg("phrase %s in %s is not %u", a, b, found);
            }
        }
}

static void places_lie_in_shapes(void **state)
{
    static const char berlin[] = "{\"lat\":52.52,\"lon\":13.405}";
    static const char both[] = "[{\"lat\":48.85,\"lon\":2.35},{\"lat\":52.52,\"lon\":13.405}]";
    static const char box[] = "\"geo_bounding_box\":{\"top_left\":{\"lat\":53,\"lon\":13},"
                              "\"bottom_right\":{\"lat\":52,\"lon\":14}}";
    static const char pacific[] = "\"geo_bounding_box\":{\"top_left\":{\"lat\":10,\"lon\":170},"
                                  "\"bottom_right\":{\"lat\":-10,\"lon\":-170}}";
    static const char near[] =
        "\"geo_radius\":{\"center\":{\"lat\":52.5,\"lon\":13.4},\"radius\":3000}";
    static const char nearer[] =
        "\"geo_radius\":{\"center\":{\"lat\":52.5,\"lon\":13.4},\"radius\":2000.5}";
    static const char here[] =
        "\"geo_radius\":{\"center\":{\"lat\":52.52,\"lon\":13.405},\"radius\":0}";
    static const char ring[] =
        "\"geo_polygon\":{\"exterior\":{\"points\":[{\"lat\":0,\"lon\":0},{\"lat\":0,\"lon\":9},"
        "{\"lat\":9,\"lon\":9},{\"lat\":9,\"lon\":0},{\"lat\":0,\"lon\":0}]},\"interiors\":["
        "{\"points\":[{\"lat\":3,\"lon\":3},{\"lat\":3,\"lon\":6},{\"lat\":6,\"lon\":6},"
        "{\"lat\":3,\"lon\":3}]}]}";

    (void)state;
    assert_true(holds(box, berlin));
    assert_true(holds(box, both));
    assert_false(holds(box, "{\"lat\":48.85,\"lon\":2.35}"));
    assert_false(holds(box, "{\"lat\":52.52}"));
    assert_false(holds(box, "[52.52,13.405]"));
    assert_false(holds(box, "{\"lat\":\"52.52\",\"lon\":\"13.405\"}"));
    assert_true(holds(pacific, "{\"lat\":0,\"lon\":-175.0}"));
    assert_false(holds(pacific, "{\"lat\":0,\"lon\":0}"));
    assert_true(holds(near, berlin));
    assert_false(holds(nearer, berlin));
    assert_false(holds(here, berlin));
    assert_true(holds(ring, "{\"lat\":1,\"lon\":1}"));
    assert_false(holds(ring, "{\"lat\":4,\"lon\":5}")); /* in the hole */
    assert_false(holds(ring, "{\"lat\":3,\"lon\":5}")); /* on its edge */
    assert_true(holds(ring, "{\"lat\":5,\"lon\":4}"));
    assert_false(holds(ring, "{\"lat\":0,\"lon\":5}"));
    assert_false(holds(ring, "{\"lat\":10,\"lon\":5}"));
}

static int vector_of(void *arg, struct slice name)
{
    (void)arg;
    return slice_equal(name, slice_text("image")) ? 2 : -1;
}

static bool words_of(void *arg, const struct path *path, struct filter_words *out)
{
    char *seen = arg;

    (void)snprintf(seen + strlen(seen), 200 - strlen(seen), "%.*s ", (int)path->text.bytes,
                   (const char *)path->text.data);
    *out = (struct filter_words){.tokenizer = FILTER_TOKENS_PREFIX, .min_bytes = 2};
    return !slice_equal(path->text, slice_text("plain"));
}

static void binding_gives_vectors_places_and_texts_settings(void **state)
{
    static const char json[] =
        "{\"must\":[{\"has_vector\":\"image\"}],\"must_not\":[{\"has_vector\":\"sound\"}],"
        "\"should\":[{\"key\":\"title\",\"match\":{\"text\":\"Cof\"}},"
        "{\"key\":\"plain\",\"match\":{\"text\":\"Cof\"}},"
        "{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{\"nested\":{\"key\":\"b[]\",\"filter\":"
        "{\"must\":[{\"key\":\"c.d\",\"match\":{\"text_any\":\"Cof\"}}]}}}]}}}]}";
    char seen[200] = "";
    const struct filter_binding binding = {vector_of, words_of, seen};
    const struct filter_binding vectors = {vector_of, NULL, NULL};
    struct filter *f = ask_parse(json);
    struct arena arena;
    struct err err;

    (void)state;
    arena_init(&arena, 1 << 16);
    assert_int_equal(filter_bind(f, &vectors, &arena, &err), ST_OK);
    assert_false(ask_row(f, "{\"title\":\"coffee\"}", NULL, 4));
    assert_true(ask_row(f, "{\"title\":\"cof\"}", NULL, 4));
    assert_false(ask_row(f, "{\"title\":\"cof\"}", NULL, 3));
    assert_int_equal(filter_bind(f, &binding, &arena, &err), ST_OK);
    assert_string_equal(seen, "title plain a[].b[].c.d ");
    assert_true(ask_row(f, "{\"title\":\"coffee\"}", NULL, 4));
    assert_false(ask_row(f, "{\"title\":\"fee\"}", NULL, 4));
    assert_false(ask_row(f, "{\"plain\":\"coffee\"}", NULL, 4));
    assert_true(ask_row(f, "{\"plain\":\"cof\"}", NULL, 4));
    assert_true(ask_row(f, "{\"a\":[{\"b\":[{\"c\":{\"d\":\"Coffee\"}}]}]}", NULL, 4));
    assert_int_equal(filter_bind(NULL, &binding, &arena, &err), ST_OK);
    assert_int_equal(filter_bind(f, NULL, &arena, &err), ST_OK);
    arena_free(&arena);
}

static bool single_characters(void *arg, const struct path *path, struct filter_words *out)
{
    (void)arg;
    (void)path;
    *out = (struct filter_words){.tokenizer = FILTER_TOKENS_MULTILINGUAL};
    return true;
}

/* One word by the defaults, and one that is too long at that. */
static void an_index_may_find_too_many_words(void **state)
{
    const struct filter_binding binding = {.words_of = single_characters};
    char filter[3 * (FILTER_TEXT_WORDS_MAX + 1) + 80] =
        "{\"must\":{\"key\":\"v\",\"match\":{\"text\":\"";
    struct arena arena;
    struct filter *f;
    struct err err;

    (void)state;
    for (size_t i = 0; i < FILTER_TEXT_WORDS_MAX + 1; i++)
        strcat(filter, "\xE6\x9D\xB1");
    f = ask_parse(strcat(filter, "\"}}}"));
    arena_init(&arena, 1 << 20);
    assert_int_equal(filter_bind(f, &binding, &arena, &err), ST_INVALID);
    assert_string_equal(err.text, "a text to look for has at most 1024 words");
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_stay_exact),
        cmocka_unit_test(bounds_of_one_side_hold_both),
        cmocka_unit_test(our_own_numbers_equal_whatever_their_kind),
        cmocka_unit_test(texts_match_byte_for_byte),
        cmocka_unit_test(times_compare_as_times),
        cmocka_unit_test(words_occur_whole),
        cmocka_unit_test(phrases_that_repeat_themselves),
        cmocka_unit_test(places_lie_in_shapes),
        cmocka_unit_test(an_index_may_find_too_many_words),
        cmocka_unit_test(binding_gives_vectors_places_and_texts_settings),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}

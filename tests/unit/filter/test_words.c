/* Text cut into words, by each tokeniser. */
#include "filter/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *cut_text(struct slice text, struct filter_words cut, enum words_side side)
{
    static char out[8192];
    struct words w;
    struct slice word;
    size_t bytes = 0;

    words_begin(&w, text, &cut, side);
    while (words_next(&w, &word)) {
        assert_true(word.bytes > 0 && word.bytes <= WORDS_BYTES_MAX);
        assert_true(bytes + word.bytes + 2 < sizeof out);
        if (bytes > 0)
            out[bytes++] = '|';
        memcpy(out + bytes, word.data, word.bytes);
        bytes += word.bytes;
    }
    assert_false(words_next(&w, &word));
    out[bytes] = '\0';
    return out;
}

static void expect(const char *text, struct filter_words cut, enum words_side side,
                   const char *words)
{
    assert_string_equal(cut_text(slice_text(text), cut, side), words);
}

static void words_are_letters_and_digits_in_lower_case(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {" \t.,;-_!", ""},
        {"one", "one"},
        {"Hello, World!", "hello|world"},
        {"a_b-c.d", "a|b|c|d"},
        {"R2D2 v1.5", "r2d2|v1|5"},
        {"na\xC3\xAFve \xC3\x89"
         "cole",
         "na\xC3\xAFve|\xC3\xA9"
         "cole"},
        {"\xCE\xA3\xCE\x99\xCE\x93\xCE\x9C\xCE\x91", "\xCF\x83\xCE\xB9\xCE\xB3\xCE\xBC\xCE\xB1"},
        {"\xD0\x9C\xD0\x98\xD0\xA0 \xD0\x9C\xD0\xB8\xD1\x80",
         "\xD0\xBC\xD0\xB8\xD1\x80|\xD0\xBC\xD0\xB8\xD1\x80"},
        {"Stra\xC3\x9F"
         "e",
         "stra\xC3\x9F"
         "e"},
        {"\xC4\xB0", "i"},
        {"\xE2\x80\x9Cquoted\xE2\x80\x9D\xE2\x80\x94"
         "dash",
         "quoted|dash"},
        {"\xD9\xA3\xC2\xBD\xE2\x85\xA7", "\xD9\xA3\xC2\xBD\xE2\x85\xB7"}, /* numbers of each kind */
        {"e\xCC\x81t", "e|t"}, /* a mark of its own is no letter */
        {"\xE6\x9D\xB1\xE4\xBA\xAC tower", "\xE6\x9D\xB1\xE4\xBA\xAC|tower"},
        {"\xF0\x9D\x94\x98\xF0\x9F\x98\x80\xF0\x90\x90\x80", "\xF0\x9D\x94\x98|\xF0\x90\x90\xA8"},
        {"a\xFF"
         "b\xC3",
         "a|b"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        expect(cases[i][0], (struct filter_words){0}, WORDS_OF_TEXT, cases[i][1]);
        expect(cases[i][0], (struct filter_words){0}, WORDS_OF_QUERY, cases[i][1]);
    }
    expect("Hello World", (struct filter_words){.keep_case = true}, WORDS_OF_TEXT, "Hello|World");
    assert_string_equal(cut_text(slice_make("a\0b", 3), (struct filter_words){0}, WORDS_OF_TEXT),
                        "a|b");
}

static void words_outside_their_lengths_are_left_out(void **state)
{
    const struct filter_words cut = {.min_bytes = 2, .max_bytes = 4};

    (void)state;
    expect("a ab abcd abcde \xC3\xA9 \xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9 x", cut, WORDS_OF_TEXT,
           "ab|abcd|\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9");
}

static void whitespace_keeps_all_else_together(void **state)
{
    const struct filter_words cut = {.tokenizer = FILTER_TOKENS_WHITESPACE};

    (void)state;
    expect(" C++ is\tn0t\nC#!\xE3\x80\x80wide\xC2\xA0 ", cut, WORDS_OF_TEXT, "c++|is|n0t|c#!|wide");
    expect("a\xFF"
           "b",
           cut, WORDS_OF_TEXT, "a|b");
}

static void a_prefix_text_has_all_beginnings_and_its_query_whole_words(void **state)
{
    const struct filter_words cut = {.tokenizer = FILTER_TOKENS_PREFIX};
    const struct filter_words some = {
        .tokenizer = FILTER_TOKENS_PREFIX, .min_bytes = 2, .max_bytes = 3};

    (void)state;
    expect("Abc d", cut, WORDS_OF_TEXT, "a|ab|abc|d");
    expect("Abc d", cut, WORDS_OF_QUERY, "abc|d");
    expect("\xC3\x89tat", cut, WORDS_OF_TEXT, "\xC3\xA9|\xC3\xA9t|\xC3\xA9ta|\xC3\xA9tat");
    expect("abcde x yz", some, WORDS_OF_TEXT, "ab|abc|yz");
    expect("abcde x yz", some, WORDS_OF_QUERY, "abc|yz");
    expect("abcde x yz", some, WORDS_WHOLE, "abc|yz");
    expect("abcde x", cut, WORDS_WHOLE, "abcde|x");
}

static void characters_of_scripts_without_blanks_stand_alone(void **state)
{
    const struct filter_words cut = {.tokenizer = FILTER_TOKENS_MULTILINGUAL};

    (void)state;
    expect("New\xE6\x9D\xB1\xE4\xBA\xAC"
           "Tower",
           cut, WORDS_OF_TEXT, "new|\xE6\x9D\xB1|\xE4\xBA\xAC|tower");
    expect("\xE3\x82\xBF\xE3\x83\xAF\xE3\x81\xAE", cut, WORDS_OF_TEXT,
           "\xE3\x82\xBF\xE3\x83\xAF|\xE3\x81\xAE");
    expect("Plain words", cut, WORDS_OF_TEXT, "plain|words");
}

static void a_word_too_long_is_left_out(void **state)
{
    enum { LONG = 2 * WORDS_BYTES_MAX };
    static uint8_t text[LONG + 4];
    const int tokenizers[] = {FILTER_TOKENS_WORD, FILTER_TOKENS_WHITESPACE, FILTER_TOKENS_PREFIX,
                              FILTER_TOKENS_MULTILINGUAL};

    (void)state;
    for (size_t length = WORDS_BYTES_MAX - 2; length <= LONG; length++) {
        memset(text, 'X', length);
        memcpy(text + length, " yz", 3);
        for (size_t i = 0; i < COUNT_OF(tokenizers); i++) {
            const struct filter_words cut = {.tokenizer = tokenizers[i]};
            const char *words = cut_text(slice_make(text, length + 3), cut, WORDS_OF_QUERY);

            assert_int_equal(strlen(words), length <= WORDS_BYTES_MAX ? length + 3 : 2);
        }
        if (length == WORDS_BYTES_MAX + 5)
            length = LONG - 3;
    }
    /* The last character would reach over the end. */
    memset(text, 'x', WORDS_BYTES_MAX - 1);
    memcpy(text + WORDS_BYTES_MAX - 1, "\xC3\xA9 yz", 5);
    assert_string_equal(
        cut_text(slice_make(text, WORDS_BYTES_MAX + 4), (struct filter_words){0}, WORDS_OF_TEXT),
        "yz");
}

static void tokenizers_have_names(void **state)
{
    int t = -1;

    (void)state;
    for (int i = FILTER_TOKENS_WORD; i <= FILTER_TOKENS_MULTILINGUAL; i++) {
        assert_true(words_tokenizer_parse(slice_text(words_tokenizer_name(i)), &t));
        assert_int_equal(t, i);
    }
    assert_null(words_tokenizer_name(-1));
    assert_null(words_tokenizer_name(4));
    assert_false(words_tokenizer_parse(slice_text("words"), &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_letters_and_digits_in_lower_case),
        cmocka_unit_test(words_outside_their_lengths_are_left_out),
        cmocka_unit_test(whitespace_keeps_all_else_together),
        cmocka_unit_test(a_prefix_text_has_all_beginnings_and_its_query_whole_words),
        cmocka_unit_test(characters_of_scripts_without_blanks_stand_alone),
        cmocka_unit_test(a_word_too_long_is_left_out),
        cmocka_unit_test(tokenizers_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

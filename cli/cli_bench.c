/* cli_bench.c - `tiervec bench ann`: the index alone, driven line by line by who measures it. */
#include "cli/ann_bench.h"
#include "cli/cli.h"
#include "cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help_text[] =
    "usage: tiervec bench ann BASE.npy QUERY.npy METRIC M EF_CONSTRUCTION THREADS [flags]\n"
    "\n"
    "Builds the index a collection has over the rows of BASE.npy, on THREADS threads, prints\n"
    "\n"
    "  READY build_seconds index_bytes\n"
    "\n"
    "and then, for each line `ef passes` on standard input, runs all queries of QUERY.npy for\n"
    "10 neighbours that many times on one thread and prints\n"
    "\n"
    "  best_qps p50_us p95_us p99_us FILE\n"
    "\n"
    "FILE, made anew for each line in $TMPDIR (/tmp) and left to the reader to remove, holds the\n"
    "neighbours of the queries in order: 10 row numbers of BASE.npy each, counted from 0, best\n"
    "first, as int32 in little endian; -1 stands where there are fewer rows. best_qps is that of\n"
    "the best pass by the clock on the wall, the latencies are those of its queries.\n"
    "\n"
    "  BASE.npy, QUERY.npy   float32, two dimensions, little endian, C order\n"
    "  METRIC                l2, cosine (rows and queries are brought to unit length), dot, l1\n"
    "  M                     2 to 128; a node has 2 M links on the lowest layer\n"
    "  EF_CONSTRUCTION       1 to 32768\n"
    "  THREADS               1 to 32\n"
    "  --quantization scalar  on what the graph is walked: scalar (8-bit codes, what a server has\n"
    "                         by itself), none (vectors in full), binary or rabitq (one bit a\n"
    "                         component); product is refused: no index has it\n"
    "  --compact              full vectors lie in a file of $TMPDIR and are read from there to "
    "rank\n"
    "                         what was found; codes and links are in memory\n"
    "\n"
    "A line that is wrong is told on standard error and passed over; the exit code is then 1.\n"
    "\n"
    "example: printf '32 3\\n64 3\\n' | tiervec bench ann base.npy query.npy cosine 16 200 2\n";

enum { PATH_BYTES_MAX = 4096, LINE_BYTES_MAX = 256 };

/* --- a line --- */

/* Digits alone, as long as they fit. */
static bool take_number(const char **at, uint32_t *out)
{
    uint64_t n = 0;
    const char *from = *at;

    for (; **at >= '0' && **at <= '9' && n <= UINT32_MAX; (*at)++)
        n = n * 10 + (uint64_t)(**at - '0');
    *out = (uint32_t)n;
    return *at != from && n <= UINT32_MAX;
}

static bool parse_number(const char *text, uint32_t max, uint32_t *out)
{
    return take_number(&text, out) && *text == '\0' && *out <= max;
}

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static bool parse_line(const char *line, uint32_t *ef, uint32_t *passes)
{
    skip_blanks(&line);
    if (!take_number(&line, ef) || (*line != ' ' && *line != '\t'))
        return false;
    skip_blanks(&line);
    if (!take_number(&line, passes))
        return false;
    skip_blanks(&line);
    return *line == '\0';
}

/* False at the end. A line that is too long comes as one that is wrong. */
static bool next_line(char line[LINE_BYTES_MAX])
{
    int c;

    if (fgets(line, LINE_BYTES_MAX, stdin) == NULL)
        return false;
    if (strchr(line, '\n') != NULL || feof(stdin))
        return true;
    (void)snprintf(line, LINE_BYTES_MAX, "(too long)");
    do {
        c = getc(stdin);
    } while (c != '\n' && c != EOF);
    return true;
}

/* --- what a line is answered with --- */

static status write_ids(const struct ann_bench *b, char path[PATH_BYTES_MAX], struct err *err)
{
    static const char name[] = "tiervec-ann-XXXXXX.i32";
    const char *folder = getenv("TMPDIR");
    size_t count;
    const int32_t *ids = ann_bench_ids(b, &count);
    int fd;
    int bytes;
    FILE *f;
    bool written;

    if (folder == NULL || folder[0] == '\0')
        folder = "/tmp";
    bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s", folder, name);
    if (bytes < 0 || bytes >= PATH_BYTES_MAX)
        return err_set(err, ST_INVALID, "TMPDIR is too long");
    fd = mkstemps(path, 4);
    if (fd < 0)
        return err_set_errno(err, errno, "make a file in %s", folder);
    f = fdopen(fd, "wb");
    if (f == NULL) {
        status st = err_set_errno(err, errno, "open %s", path);

        (void)close(fd);
        (void)unlink(path);
        return st;
    }
    written = fwrite(ids, sizeof(*ids), count, f) == count;
    if (fclose(f) == 0 && written)
        return ST_OK;
    (void)unlink(path);
    return err_set_errno(err, errno, "write %s", path);
}

static int print_line(const char *text)
{
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        return CLI_OK;
    return cli_error(CLI_FAILED, "bench ann", "standard output takes no more", NULL);
}

static int answer(struct ann_bench *b, uint32_t ef, uint32_t passes, bool *refused)
{
    struct ann_bench_figures f;
    char path[PATH_BYTES_MAX];
    char text[PATH_BYTES_MAX + 128];
    struct err err;
    status st = ann_bench_run(b, ef, passes, &f, &err);

    *refused = st == ST_INVALID;
    if (st == ST_OK)
        st = write_ids(b, path, &err);
    if (st != ST_OK)
        return cli_error(CLI_FAILED, "bench ann", err.text, *refused ? "the line: 64 3" : NULL);
    (void)snprintf(text, sizeof text, "%.1f %.2f %.2f %.2f %s\n", f.qps, f.p50_us, f.p95_us,
                   f.p99_us, path);
    return print_line(text);
}

static int answer_lines(struct ann_bench *b)
{
    char line[LINE_BYTES_MAX];
    int code = CLI_OK;

    while (next_line(line)) {
        uint32_t ef;
        uint32_t passes;
        bool refused = false;

        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        if (!parse_line(line, &ef, &passes)) {
            code =
                cli_error(CLI_FAILED, "bench ann", "a line is not `ef passes`", "the line: 64 3");
            continue;
        }
        if (answer(b, ef, passes, &refused) != CLI_OK) {
            code = CLI_FAILED;
            if (!refused)
                return code;
        }
    }
    if (ferror(stdin))
        return cli_error(CLI_FAILED, "bench ann", "standard input cannot be read", NULL);
    return code;
}

/* --- the command --- */

static int refuse(const char *what, const char *why)
{
    char text[LINE_BYTES_MAX];

    (void)snprintf(text, sizeof text, "bench ann, %s", what);
    return cli_error(CLI_USAGE, text, why, "tiervec bench ann --help");
}

static int check_quantization(const char *name, bool compact, enum vquantization *out)
{
    struct err err;

    *out = VQUANT_SCALAR;
    if (name == NULL)
        return CLI_OK;
    if (!vquantization_parse(name, out))
        return refuse("--quantization", "it is none, scalar, binary, rabitq or product");
    if (vquantization_check(*out, &err) != ST_OK)
        return refuse("--quantization", err.text);
    if (compact && *out != VQUANT_SCALAR)
        return refuse("--compact", "it goes with --quantization scalar alone");
    return CLI_OK;
}

static int take_settings(const char *const *words, struct ann_bench_settings *out)
{
    uint32_t m;
    uint32_t ef;
    uint32_t threads;

    if (!vmetric_parse(words[0], &out->metric))
        return refuse("METRIC", "it is l2, cosine, dot or l1");
    if (!parse_number(words[1], VINDEX_M_MAX, &m) || m < VINDEX_M_MIN)
        return refuse("M", "it is a number from 2 to 128");
    if (!parse_number(words[2], VINDEX_EF_MAX, &ef) || ef == 0)
        return refuse("EF_CONSTRUCTION", "it is a number from 1 to 32768");
    if (!parse_number(words[3], VINDEX_LINKERS_MAX, &threads) || threads == 0)
        return refuse("THREADS", "it is a number from 1 to 32");
    out->m = (uint16_t)m;
    out->ef_construction = (uint16_t)ef;
    out->threads = (uint16_t)threads;
    return CLI_OK;
}

static int bench_ann(const char *base, const char *query, const struct ann_bench_settings *settings)
{
    struct ann_bench *b = NULL;
    char text[128];
    struct err err;
    int code;
    status st = ann_bench_open(base, query, settings, &b, &err);

    if (st != ST_OK)
        return cli_error(cli_exit_of(st), "bench ann", err.text, NULL);
    (void)snprintf(text, sizeof text, "READY %.6f %" PRIu64 "\n",
                   1e-9 * (double)ann_bench_build_ns(b), ann_bench_index_bytes(b));
    code = print_line(text);
    if (code == CLI_OK)
        code = answer_lines(b);
    ann_bench_close(b);
    return code;
}

int cli_bench(int argc, char **argv)
{
    enum { WHAT, BASE, QUERY, METRIC, WORDS = 7 };
    bool help = false;
    bool compact = false;
    const char *quantization = NULL;
    const struct cli_flag flags[] = {{"--help", &help, NULL},
                                     {"--compact", &compact, NULL},
                                     {"--quantization", NULL, &quantization}};
    static struct cli_words words;
    struct ann_bench_settings settings = {0};
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (words.count != WORDS || strcmp(words.words[WHAT], "ann") != 0)
        return cli_usage(help_text);
    settings.compact = compact;
    code = check_quantization(quantization, compact, &settings.quantization);
    if (code == CLI_OK)
        code = take_settings(&words.words[METRIC], &settings);
    return code == CLI_OK ? bench_ann(words.words[BASE], words.words[QUERY], &settings) : code;
}

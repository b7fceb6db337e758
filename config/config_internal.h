/* config_internal.h - the table of keys and the state of one config_load().
 *
 * config_keys[] is the one place where a key is described; reading, printing, the example file and
 * the reference page all come from it. */
#ifndef CONFIG_CONFIG_INTERNAL_H
#define CONFIG_CONFIG_INTERNAL_H

#include "config/config.h"
#include "node/node.h"

enum config_kind { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_BOOL, CONFIG_CHOICE, CONFIG_LIST };

enum config_use {
    CONFIG_BUILT,
    CONFIG_LATER, /* its feature is not built: anything but the default is refused by name */
    CONFIG_SEED,  /* AkiDB's; accepted, with a warning that says why it means nothing here */
};

enum config_rule {
    CONFIG_ANY,
    CONFIG_HOST,
    CONFIG_FOLDER,
    CONFIG_LEVELS,
    CONFIG_NAME,
    CONFIG_BUCKET, /* its value is never printed when it is refused: it may hold a password */
    CONFIG_ENDPOINT,
    CONFIG_LISTEN,
};

struct config_key {
    const char *section, *key;
    enum config_kind kind;
    enum config_use use;
    enum config_rule rule;  /* of texts */
    uint16_t offset, width; /* in struct config; width 0: no field */
    uint64_t min, max;      /* of numbers, inclusive */
    const char *zero;       /* of numbers: what 0 means, allowed then whatever min says */
    const char *choices;    /* "json|pretty|auto" */
    const char *unit;       /* of numbers, or NULL */
    const char *fallback;   /* the default: a text's bytes, "8080", "true"; lists: "" */
    const char *short_name; /* "rest_port": TIERVEC_REST_PORT and --rest-port; NULL for none */
    const char *seed_name;  /* "AKIDB_REST_PORT"; NULL for none */
    const char *doc;        /* whole sentences */
    const char *later;      /* CONFIG_LATER: "the S3Only tier is"; CONFIG_SEED: why nothing */
    const char *instead;    /* CONFIG_LATER: what to do */
    bool secret;            /* never printed */
    bool commented;         /* stands as a comment in the example file */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* False if there is none. */
bool config_key_find(struct slice section, struct slice key, size_t *index);
size_t config_key_index(const char *section, const char *key); /* of one that is there */
/* The nearest by edit distance; a key that only stands in another section is near. */
const struct config_key *config_key_nearest(struct slice section, struct slice key);
/* "TIERVEC_SERVER_REST_PORT", "--server-rest-port": ours, NUL terminated, cut when too long. */
enum { CONFIG_NAME_BYTES = 96 };
void config_key_variable(const struct config_key *key, char out[CONFIG_NAME_BYTES]);
void config_key_flag(const struct config_key *key, char out[CONFIG_NAME_BYTES]);
/* Small edits (insert, remove, change, swap of neighbours) from a to b; long texts are cut. */
size_t config_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes);

/* A value as it was given. CONFIG_RAW_WORD has no type of its own: environment and flags. */
enum config_raw_kind {
    CONFIG_RAW_WORD,
    CONFIG_RAW_TEXT,
    CONFIG_RAW_NUMBER,
    CONFIG_RAW_BOOL,
    CONFIG_RAW_LIST,  /* number: how many elements */
    CONFIG_RAW_OTHER, /* a float, a date, a table */
};
struct config_raw {
    enum config_raw_kind kind;
    struct slice text;
    int64_t number;
    bool boolean;
};

struct config_load {
    struct config *out;
    char *const *env;
    const char *file;        /* found one, or NULL */
    const char *file_origin; /* "--config", "TIERVEC_CONFIG", ...; NULL: looked for */
    bool sqlite_path;        /* file or environment say [database] path = "sqlite:..." */
};

/* Checks the value and puts it into struct, entry and all. where: "config.toml:3", a variable, a
 * flag; copied. */
NODISCARD
status config_set(struct config_load *load, size_t index, const struct config_raw *raw,
                  enum config_origin origin, const char *where, struct err *err);
NODISCARD
status config_warn(struct config *c, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
/* Printable, at most 60 characters; for error texts. */
enum { CONFIG_SHOWN_BYTES = 64 };
void config_show(char out[CONFIG_SHOWN_BYTES], struct slice text);
/* "a whole number from 1 to 65535", "true or false", ... */
void config_describe(const struct config_key *key, char out[256]);
/* Quotes and escapes as a TOML basic string. */
void config_put_text(struct buf *out, struct slice text);
/* Levels in one form: "info", "info,wal=debug". False when the text is none; of RUST_LOG what is
 * not understood is left out, and false means that nothing was. */
enum { CONFIG_LEVELS_BYTES = 512 };
NODISCARD
bool config_levels_parse(struct slice text, char out[CONFIG_LEVELS_BYTES]);
NODISCARD
bool config_levels_from_rust(struct slice rust, char out[CONFIG_LEVELS_BYTES]);

/* One key of one origin, seed's keys included: what file, environment and flags all end in. */
NODISCARD
status config_apply(struct config_load *load, size_t index, const struct config_raw *raw,
                    enum config_origin origin, const char *where, struct err *err);
/* The value of an environment variable; NULL if absent or empty. */
const char *config_variable(char *const *env, const char *name);

NODISCARD
status config_read_file(struct config_load *load, struct err *err);
NODISCARD
status config_read_environment(struct config_load *load, struct err *err);
/* Looks for --config only; then all others. */
NODISCARD
status config_find_file_flag(struct config_load *load, int argc, char *const *argv,
                             struct err *err);
NODISCARD
status config_read_flags(struct config_load *load, int argc, char *const *argv, struct err *err);
/* What only all values together can tell. */
NODISCARD
status config_check(struct config_load *load, struct err *err);

#endif

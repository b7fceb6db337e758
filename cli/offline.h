/* offline.h - what restore and verify share: flags that become a configuration. */
#ifndef CLI_OFFLINE_H
#define CLI_OFFLINE_H

#include "base/stats.h"
#include "cli/cli.h"
#include "config/config.h"
#include "objstore/objstore.h"

struct offline {
    const char *config, *data_dir, *from, *endpoint, *region;
    bool json, quiet, help;
};
/* clang-format off */
#define OFFLINE_FLAGS(o)                                                                           \
    {"--config", NULL, &(o)->config}, {"--data-dir", NULL, &(o)->data_dir},                        \
    {"--from", NULL, &(o)->from}, {"--endpoint", NULL, &(o)->endpoint},                            \
    {"--region", NULL, &(o)->region}, {"--json", &(o)->json, NULL},                                \
    {"--quiet", &(o)->quiet, NULL}, {"--help", &(o)->help, NULL}, {"-h", &(o)->help, NULL}
/* clang-format on */
#define OFFLINE_FLAGS_HELP                                                                         \
    "  --config FILE    settings, as of serve\n"                                                   \
    "  --endpoint URL   the store's address when it is not AWS\n"                                  \
    "  --region REGION  of the bucket\n"                                                           \
    "  --json           the report as JSON\n"                                                      \
    "  --quiet          no output, the exit code says it\n"

/* File and environment, and what the flags say over them; starts the log at errors. */
NODISCARD
status offline_load(const struct offline *o, struct config *out, struct err *err);
/* cli_open_store() of a bucket that is read: a directory that is not there is ST_NOT_FOUND, not
 * made. */
NODISCARD
status offline_store(const struct config *c, struct stats *stats, struct objstore **out,
                     struct err *err);

#endif

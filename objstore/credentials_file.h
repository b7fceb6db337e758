/* credentials_file.h - the files of profiles: sections in brackets, `key = value` lines.
 *
 *     [default]                    in the credentials file, and in the config file
 *     [dev]                        in the credentials file
 *     [profile dev]                in the config file
 *     region = eu-central-1        ' #' and ' ;' begin a comment, lines of their own too
 *     s3 =
 *         max_queue = 10           deeper than its key: part of that value, passed over
 *
 * Pure: bytes in, calls out. */
#ifndef OBJSTORE_CREDENTIALS_FILE_H
#define OBJSTORE_CREDENTIALS_FILE_H

#include "base/bytes.h"

/* Called for each key of the section, in order; slices die with `text`. */
typedef void profile_key_fn(void *arg, struct slice key, struct slice value);
/* False when there is no such section. config: names other than "default" stand behind "profile ".
 * Lines that are none of the above are passed over. */
bool profile_read(struct slice text, const char *profile, bool config, profile_key_fn *fn,
                  void *arg);

#endif

/* commands.h - the commands of `tiervec` but serve and config, each in the file named after it.
 * argv[0] is the command's name; the exit code is one of cli/cli.h. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

/* Of a running node, over REST. */
int cli_status(int argc, char **argv);         /* cli_status.c */
int cli_collections(int argc, char **argv);    /* cli_collections.c */
int cli_alias(int argc, char **argv);          /* cli_alias.c */
int cli_tier(int argc, char **argv);           /* cli_tier.c */
int cli_take_ownership(int argc, char **argv); /* cli_tier.c */
int cli_snapshot(int argc, char **argv);       /* cli_snapshot.c */
int cli_compact(int argc, char **argv);        /* cli_snapshot.c */
int cli_vacuum(int argc, char **argv);         /* cli_vacuum.c */
int cli_dlq(int argc, char **argv);            /* cli_dlq.c */
int cli_get(int argc, char **argv);            /* cli_docs.c */
int cli_insert(int argc, char **argv);         /* cli_docs.c */
int cli_query(int argc, char **argv);          /* cli_docs.c */
int cli_import(int argc, char **argv);         /* cli_import.c */
int cli_export(int argc, char **argv);         /* cli_export.c */
int cli_tune(int argc, char **argv);           /* cli_tune.c */
/* Of a data directory or a bucket, without a node. */
int cli_restore(int argc, char **argv); /* cli_restore.c */
int cli_verify(int argc, char **argv);  /* cli_verify.c */
int cli_probe(int argc, char **argv);   /* cli_probe.c */
/* Of two files. */
int cli_bench(int argc, char **argv); /* cli_bench.c */

#endif

/* Where keys are looked for, in which order, and what is said when there are none. */
#include "objstore/credentials.h"
#include "objstore/credentials_file.h"

#include "tests/support/alloc_sweep.h"
#include "tests/support/fs_sim.h"

#include <stdlib.h>

static char *const HOME_ONLY[] = {(char *)"HOME=/home/a", NULL};

static void write_file(struct fs *fs, const char *path, const char *text)
{
    assert_int_equal(fs_write_file(fs, path, slice_text(text), NULL), ST_OK);
}

static int set_up(void **state)
{
    struct fs_sim *sim = fs_sim_create();

    assert_non_null(sim);
    assert_int_equal(fs_mkdir_all(fs_sim_fs(sim), "/home/a/.aws", NULL), ST_OK);
    *state = sim;
    return 0;
}

static int tear_down(void **state)
{
    fs_sim_destroy(*state);
    return 0;
}

static struct credentials load(struct fs_sim *sim, char *const *env)
{
    static struct credentials c;
    struct err err;

    assert_int_equal(credentials_load(env, fs_sim_fs(sim), &c, NULL, &err), ST_OK);
    return c;
}

static void environment_comes_first(void **state)
{
    char *const env[] = {(char *)"AWS_ACCESS_KEY_IDX=no",
                         (char *)"AWS_ACCESS_KEY_ID=AK",
                         (char *)"AWS_SECRET_ACCESS_KEY=se/c+ret=",
                         (char *)"AWS_SESSION_TOKEN=tok",
                         (char *)"AWS_DEFAULT_REGION=b",
                         (char *)"AWS_REGION=a",
                         (char *)"AWS_ENDPOINT_URL=http://all",
                         (char *)"AWS_ENDPOINT_URL_S3=http://s3",
                         (char *)"AWS_CA_BUNDLE=/ca.pem",
                         (char *)"HOME=/home/a",
                         NULL};
    struct credentials c;

    write_file(fs_sim_fs(*state), "/home/a/.aws/credentials",
               "[default]\naws_access_key_id=other\naws_secret_access_key=other\nregion=c\n");
    c = load(*state, env);
    assert_true(c.found);
    assert_string_equal(c.access, "AK");
    assert_string_equal(c.secret, "se/c+ret=");
    assert_string_equal(c.token, "tok");
    assert_string_equal(c.region, "a");
    assert_string_equal(c.endpoint, "http://s3");
    assert_string_equal(c.ca_file, "/ca.pem");
    assert_string_equal(c.source, "the environment (AWS_ACCESS_KEY_ID)");
}

static void shared_files_come_next(void **state)
{
    char *const dev[] = {(char *)"HOME=/home/a", (char *)"AWS_PROFILE=dev", NULL};
    char *const old[] = {(char *)"HOME=/home/a", (char *)"AWS_DEFAULT_PROFILE=conf", NULL};
    char *const elsewhere[] = {(char *)"HOME=/home/a",
                               (char *)"AWS_SHARED_CREDENTIALS_FILE=~/other",
                               (char *)"AWS_CONFIG_FILE=/nowhere", NULL};
    struct fs *fs = fs_sim_fs(*state);
    struct credentials c;

    write_file(fs, "/home/a/.aws/credentials",
               "# mine\n[default]\r\naws_access_key_id = A1\r\naws_secret_access_key = S1 # old\r\n"
               "[ dev ]\n  AWS_ACCESS_KEY_ID=A2\n  aws_secret_access_key=S2\n"
               "  aws_session_token=T2\n");
    write_file(fs, "/home/a/.aws/config",
               "[default]\nregion = eu-1\ns3 =\n  region = deeper\nendpoint_url = http://d:1\n"
               "[profile dev]\nregion=eu-2\n[dev]\nregion=never\n"
               "[profile conf]\naws_access_key_id=A3\naws_secret_access_key=S3\n");
    write_file(fs, "/home/a/other", "[default]\naws_access_key_id=A4\naws_secret_access_key=S4");
    c = load(*state, HOME_ONLY);
    assert_string_equal(c.access, "A1");
    assert_string_equal(c.secret, "S1");
    assert_string_equal(c.token, "");
    assert_string_equal(c.region, "eu-1");
    assert_string_equal(c.endpoint, "http://d:1");
    assert_string_equal(c.source, "profile default of /home/a/.aws/credentials");
    c = load(*state, dev);
    assert_string_equal(c.access, "A2");
    assert_string_equal(c.token, "T2");
    assert_string_equal(c.region, "eu-2");
    assert_string_equal(c.endpoint, "");
    c = load(*state, old);
    assert_string_equal(c.access, "A3");
    assert_string_equal(c.source, "profile conf of /home/a/.aws/config");
    c = load(*state, elsewhere);
    assert_string_equal(c.access, "A4");
    assert_string_equal(c.region, "");
}

static void configured_endpoints_may_be_ignored(void **state)
{
    char *const env[] = {(char *)"AWS_ENDPOINT_URL=http://all",
                         (char *)"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", NULL};

    assert_string_equal(load(*state, env).endpoint, "");
}

/* The texts are all a person has: each names the place and what was wrong there. */
static void places_are_named_when_nothing_is_found(void **state)
{
    char *const half[] = {(char *)"AWS_ACCESS_KEY_ID=AK", (char *)"HOME=/home/a", NULL};
    char *const nothing[] = {NULL};
    char *const blank[] = {(char *)"AWS_ACCESS_KEY_ID=A K", (char *)"AWS_SECRET_ACCESS_KEY=x",
                           NULL};
    struct fs *fs = fs_sim_fs(*state);
    struct credentials c = load(*state, half);

    assert_false(c.found);
    assert_string_equal(c.source,
                        "the environment (AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not), "
                        "/home/a/.aws/credentials (no such file), /home/a/.aws/config (no such "
                        "file)");
    assert_false(load(*state, nothing).found);
    assert_false(load(*state, blank).found);
    assert_non_null(strstr(load(*state, blank).source, "too long or hold blanks"));
    write_file(fs, "/home/a/.aws/credentials", "[default]\naws_access_key_id=A\n");
    write_file(fs, "/home/a/.aws/config", "[default]\nrole_arn=arn:aws:iam::1:role/x\n");
    c = load(*state, HOME_ONLY);
    assert_non_null(strstr(c.source, "(has aws_access_key_id alone)"));
    assert_non_null(strstr(c.source, "profile default of /home/a/.aws/config (has a role_arn)"));
    write_file(fs, "/home/a/.aws/credentials",
               "[default]\naws_access_key_id=A\naws_secret_access_key=two words\n");
    c = load(*state, HOME_ONLY);
    assert_false(c.found);
    assert_null(strstr(c.source, "two words"));
    assert_non_null(strstr(c.source, "aws_secret_access_key that is too long or holds blanks"));
}

/* A rotated file is seen at the next load. */
static void files_are_read_each_time(void **state)
{
    struct fs *fs = fs_sim_fs(*state);

    write_file(fs, "/home/a/.aws/credentials",
               "[default]\naws_access_key_id=A\naws_secret_access_key=old\n");
    assert_string_equal(load(*state, HOME_ONLY).secret, "old");
    write_file(fs, "/home/a/.aws/credentials",
               "[default]\naws_access_key_id=A\naws_secret_access_key=new\n");
    assert_string_equal(load(*state, HOME_ONLY).secret, "new");
}

static void count_key(void *arg, struct slice key, struct slice value)
{
    size_t *count = arg;

    (void)key;
    (void)value;
    ++*count;
}

/* Nothing in a file can hurt: every cut, and every byte turned into others. */
static void damaged_files_are_borne(void **state)
{
    static const char text[] =
        "[a]\n[default]\r\nk = v # c\n  x = y\n= z\nq\n[profile b]\n;\nr=\n[";
    uint8_t bytes[sizeof text];
    size_t count = 0;

    (void)state;
    assert_true(
        profile_read(slice_make(text, sizeof text - 1), "default", true, count_key, &count));
    assert_int_equal(count, 2);
    for (size_t cut = 0; cut < sizeof text; cut++) {
        uint8_t *exact = malloc(cut + 1);

        memcpy(exact, text, cut);
        (void)profile_read(slice_make(exact, cut), "b", true, count_key, &count);
        free(exact);
    }
    for (size_t at = 0; at < sizeof text - 1; at++)
        for (unsigned c = 0; c < 256; c++) {
            memcpy(bytes, text, sizeof text);
            bytes[at] = (uint8_t)c;
            (void)profile_read(slice_make(bytes, sizeof text - 1), "b", true, count_key, &count);
        }
}

/* Everything is configured; then what won is taken away, until nothing is left. */
static void each_wins_over_those_behind_it(void **state)
{
    static const struct {
        const char *variables; /* blank-separated; those of all behind it are set too */
        const char *shared;    /* lines of the profile in the shared file */
        const char *config;
        enum credentials_from from;
        const char *name; /* how it is called */
    } links[] = {
        {"AWS_ACCESS_KEY_ID=AK AWS_SECRET_ACCESS_KEY=env", "", "", CREDENTIALS_FROM_ENVIRONMENT,
         "the environment (AWS_ACCESS_KEY_ID)"},
        {"", "", "role_arn=arn:r\nsource_profile=s\nexternal_id=x\nduration_seconds=900\n",
         CREDENTIALS_FROM_ROLE, "role of profile p"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE=/token AWS_ROLE_ARN=arn:e", "", "",
         CREDENTIALS_FROM_WEB_IDENTITY, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)"},
        {"", "", "web_identity_token_file=/t\nrole_arn=arn:p\n", CREDENTIALS_FROM_WEB_IDENTITY,
         "web identity of profile p"},
        {"", "aws_access_key_id=AS\naws_secret_access_key=shared\n", "",
         CREDENTIALS_FROM_SHARED_FILE, "profile p of /home/a/.aws/credentials"},
        {"", "credential_process=/bin/one\n", "", CREDENTIALS_FROM_PROCESS,
         "credential_process of profile p"},
        {"", "", "credential_process=/bin/two\n", CREDENTIALS_FROM_PROCESS,
         "credential_process of profile p"},
        {"", "", "aws_access_key_id=AC\naws_secret_access_key=config\n",
         CREDENTIALS_FROM_CONFIG_FILE, "profile p of /home/a/.aws/config"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/x", "", "", CREDENTIALS_FROM_CONTAINER,
         "the container (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1/y", "", "",
         CREDENTIALS_FROM_CONTAINER, "the container (AWS_CONTAINER_CREDENTIALS_FULL_URI)"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1", "", "", CREDENTIALS_FROM_INSTANCE,
         "instance metadata"},
    };
    static struct credentials c;
    static struct credentials_plan plan;

    for (size_t first = 0; first < COUNT_OF(links); first++) {
        char shared[1024] = "[p]\n";
        char config[1024] = "[profile p]\n";
        char variables[1024] = "HOME=/home/a AWS_PROFILE=p";
        char *env[32];
        size_t count = 0;

        for (size_t i = first; i < COUNT_OF(links); i++) {
            strcat(shared, links[i].shared);
            /* A token beside a role is its own: the role is then no role to be taken on. */
            if (links[first].from != CREDENTIALS_FROM_ROLE ||
                strstr(links[i].config, "web_identity") == NULL)
                strcat(config, links[i].config);
            strcat(strcat(variables, " "), links[i].variables);
        }
        for (char *at = strtok(variables, " "); at != NULL; at = strtok(NULL, " "))
            env[count++] = at;
        env[count] = NULL;
        strcat(shared, "[s]\naws_access_key_id=AZ\naws_secret_access_key=source\n");
        write_file(fs_sim_fs(*state), "/home/a/.aws/credentials", shared);
        write_file(fs_sim_fs(*state), "/home/a/.aws/config", config);
        assert_int_equal(credentials_load(env, fs_sim_fs(*state), &c, &plan, NULL), ST_OK);
        assert_int_equal(c.found ? c.from : plan.from, links[first].from);
        assert_int_equal(c.found, plan.from == CREDENTIALS_FROM_NOWHERE);
        assert_string_equal(c.found ? c.source : plan.name, links[first].name);
        if (first == 1) {
            assert_string_equal(plan.role, "arn:r");
            assert_string_equal(plan.base.secret, "source");
            assert_string_equal(plan.external_id, "x");
            assert_string_equal(plan.duration_s, "900");
        }
        if (first == 2)
            assert_string_equal(plan.role, "arn:e");
        if (first == 3)
            assert_string_equal(plan.role, "arn:p");
        if (first == 5)
            assert_string_equal(plan.command, "/bin/one");
        if (first == 8)
            assert_string_equal(plan.url, "http://169.254.170.2/v2/x");
    }
}

static enum credentials_from whom(struct fs_sim *sim, char *const *env, const char *shared,
                                  const char *config, struct credentials *c)
{
    static struct credentials_plan plan;

    write_file(fs_sim_fs(sim), "/home/a/.aws/credentials", shared);
    write_file(fs_sim_fs(sim), "/home/a/.aws/config", config);
    assert_int_equal(credentials_load(env, fs_sim_fs(sim), c, &plan, NULL), ST_OK);
    return c->found ? c->from : plan.from;
}

/* What is configured and wrong is told; whoever stands behind it would be someone else. */
static void what_is_wrong_ends_the_chain(void **state)
{
    char *const home[] = {(char *)"HOME=/home/a", NULL};
    char *const named[] = {(char *)"HOME=/home/a", (char *)"AWS_PROFILE=gone", NULL};
    char *const half[] = {(char *)"HOME=/home/a", (char *)"AWS_ACCESS_KEY_ID=AK", NULL};
    char *const undated[] = {(char *)"HOME=/home/a", (char *)"AWS_ACCESS_KEY_ID=AK",
                             (char *)"AWS_SECRET_ACCESS_KEY=s",
                             (char *)"AWS_CREDENTIAL_EXPIRATION=tomorrow", NULL};
    char *const off[] = {(char *)"HOME=/home/a", (char *)"AWS_EC2_METADATA_DISABLED=true", NULL};
    static const char keys[] = "[default]\naws_access_key_id=A\naws_secret_access_key=S\n";
    static struct credentials c;

    assert_int_equal(whom(*state, home, "", "", &c), CREDENTIALS_FROM_INSTANCE);
    assert_int_equal(whom(*state, off, "", "", &c), CREDENTIALS_FROM_NOWHERE);
    assert_int_equal(whom(*state, home, keys, "", &c), CREDENTIALS_FROM_SHARED_FILE);
    assert_int_equal(whom(*state, half, keys, "", &c), CREDENTIALS_FROM_NOWHERE);
    assert_int_equal(whom(*state, undated, keys, "", &c), CREDENTIALS_FROM_NOWHERE);
    assert_non_null(strstr(c.source, "AWS_CREDENTIAL_EXPIRATION is no date"));
    assert_string_equal(c.secret, "");
    assert_int_equal(whom(*state, named, keys, "", &c), CREDENTIALS_FROM_NOWHERE);
    assert_non_null(strstr(c.source, "profile gone of /home/a/.aws/config (not there)"));
    assert_int_equal(whom(*state, home, "[default]\naws_access_key_id=A\n", keys, &c),
                     CREDENTIALS_FROM_NOWHERE);
    assert_int_equal(whom(*state, home, "[default]\nregion=a b\n", "", &c),
                     CREDENTIALS_FROM_NOWHERE);
    /* A role that cannot be taken on is not left out in silence. */
    assert_int_equal(whom(*state, home, keys, "[default]\nrole_arn=arn:x\n", &c),
                     CREDENTIALS_FROM_NOWHERE);
    assert_non_null(strstr(c.source, "needs source_profile or credential_source"));
    assert_int_equal(
        whom(*state, home, keys, "[default]\nrole_arn=arn:x\nsource_profile=gone\n", &c),
        CREDENTIALS_FROM_NOWHERE);
    assert_non_null(strstr(c.source, "its source has no keys"));
    assert_int_equal(whom(*state, home, keys,
                          "[default]\nrole_arn=arn:x\nsource_profile=default\nmfa_serial=1\n", &c),
                     CREDENTIALS_FROM_NOWHERE);
    assert_non_null(strstr(c.source, "asks for mfa_serial"));
    assert_int_equal(whom(*state, home, "", "[default]\nsso_session=x\n", &c),
                     CREDENTIALS_FROM_NOWHERE);
    assert_non_null(strstr(c.source, "asks for sso_session, which this version does not do"));
}

/* Whose keys a role is asked for with. */
static void a_role_has_a_base(void **state)
{
    static const struct {
        const char *variable; /* or NULL */
        const char *shared, *config;
        enum credentials_from from; /* of the base */
        const char *wanted;         /* its secret, command or URL */
    } tries[] = {
        {NULL, "[s]\naws_access_key_id=A\naws_secret_access_key=one\n", "source_profile=s",
         CREDENTIALS_FROM_NOWHERE, "one"},
        {NULL, "", "source_profile=s\n[profile s]\naws_access_key_id=A\naws_secret_access_key=two",
         CREDENTIALS_FROM_NOWHERE, "two"},
        {NULL, "[default]\naws_access_key_id=A\naws_secret_access_key=three\n",
         "source_profile=default", CREDENTIALS_FROM_NOWHERE, "three"},
        {NULL, "", "source_profile=s\n[profile s]\ncredential_process=/bin/x y",
         CREDENTIALS_FROM_PROCESS, "/bin/x y"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:1/c", "",
         "credential_source=EcsContainer", CREDENTIALS_FROM_CONTAINER, "http://127.0.0.1:1/c"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:2", "",
         "credential_source=Ec2InstanceMetadata", CREDENTIALS_FROM_INSTANCE, "http://127.0.0.1:2"},
    };
    static struct credentials_plan plan;
    static struct credentials c;

    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        char variable[128] = "HOME=/home/a";
        char *const env[] = {(char *)"HOME=/home/a", variable, (char *)"AWS_REGION=eu-1", NULL};
        char config[512] = "[default]\nrole_arn=arn:x\n";
        const char *got = plan.base.secret;

        if (tries[i].variable != NULL)
            strcpy(variable, tries[i].variable);
        write_file(fs_sim_fs(*state), "/home/a/.aws/credentials", tries[i].shared);
        write_file(fs_sim_fs(*state), "/home/a/.aws/config", strcat(config, tries[i].config));
        assert_int_equal(credentials_load(env, fs_sim_fs(*state), &c, &plan, NULL), ST_OK);
        assert_false(c.found);
        assert_int_equal(plan.from, CREDENTIALS_FROM_ROLE);
        assert_int_equal(plan.base.from, tries[i].from);
        assert_string_equal(plan.url, "https://sts.eu-1.amazonaws.com");
        assert_string_equal(plan.region, "eu-1");
        if (tries[i].from == CREDENTIALS_FROM_PROCESS)
            got = plan.command;
        else if (tries[i].from != CREDENTIALS_FROM_NOWHERE)
            got = plan.base.url;
        assert_string_equal(got, tries[i].wanted);
    }
}

static void where_sts_is(void **state)
{
    static const struct {
        const char *variables[4];
        const char *config;
        const char *wanted;
    } tries[] = {
        {{NULL}, "", "https://sts.amazonaws.com"},
        {{"AWS_REGION=eu-1"}, "", "https://sts.eu-1.amazonaws.com"},
        {{"AWS_REGION=cn-north-1"}, "", "https://sts.cn-north-1.amazonaws.com.cn"},
        {{"AWS_ENDPOINT_URL=http://a", "AWS_ENDPOINT_URL_S3=http://s3"}, "", "http://a"},
        {{"AWS_ENDPOINT_URL=http://a", "AWS_ENDPOINT_URL_STS=http://b"},
         "endpoint_url=http://c\n",
         "http://b"},
        {{"AWS_ENDPOINT_URL_S3=http://s3"}, "endpoint_url=http://c\n", "http://c"},
        {{"AWS_ENDPOINT_URL_STS=http://b", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"},
         "",
         "https://sts.amazonaws.com"},
    };
    static struct credentials_plan plan;
    static struct credentials c;

    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        char *env[8] = {(char *)"HOME=/home/a", (char *)"AWS_WEB_IDENTITY_TOKEN_FILE=/t",
                        (char *)"AWS_ROLE_ARN=arn:x"};
        char config[128] = "[default]\n";

        for (size_t v = 0; tries[i].variables[v] != NULL; v++) {
            env[3 + v] = (char *)malloc(strlen(tries[i].variables[v]) + 1);
            strcpy(env[3 + v], tries[i].variables[v]);
        }
        write_file(fs_sim_fs(*state), "/home/a/.aws/config", strcat(config, tries[i].config));
        assert_int_equal(credentials_load(env, fs_sim_fs(*state), &c, &plan, NULL), ST_OK);
        assert_string_equal(plan.url, tries[i].wanted);
        for (size_t v = 3; env[v] != NULL; v++)
            free(env[v]);
    }
}

static void the_environment_may_say_when_its_keys_end(void **state)
{
    char *const env[] = {(char *)"AWS_ACCESS_KEY_ID=AK", (char *)"AWS_SECRET_ACCESS_KEY=s",
                         (char *)"AWS_CREDENTIAL_EXPIRATION=2026-11-21T12:00:00+00:00", NULL};

    assert_int_equal(load(*state, env).expires_s, 1795262400);
}

static status load_once(void *arg)
{
    struct credentials *c = malloc(sizeof *c);
    status st = credentials_load(HOME_ONLY, arg, c, NULL, NULL);

    if (st == ST_OK)
        assert_true(c->found);
    free(c);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    write_file(fs_sim_fs(*state), "/home/a/.aws/credentials",
               "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
    assert_true(alloc_sweep(load_once, fs_sim_fs(*state)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(environment_comes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shared_files_come_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(configured_endpoints_may_be_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(places_are_named_when_nothing_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_wins_over_those_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_ends_the_chain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_role_has_a_base, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_sts_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_environment_may_say_when_its_keys_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(files_are_read_each_time, set_up, tear_down),
        cmocka_unit_test(damaged_files_are_borne),
        cmocka_unit_test_setup_teardown(each_allocation_may_fail, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

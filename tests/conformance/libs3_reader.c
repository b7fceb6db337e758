/* Reads one object by Debian's libs3 (signature version 2, another parser, another HTTP client's
 * configuration) and writes its bytes to stdout: a second opinion on what our writer left there.
 *
 *     libs3_reader HOST:PORT BUCKET KEY      keys from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
 *
 * A program of its own: libs3 brings another libcurl than the one we use. */
#include <libs3.h>

#include <stdio.h>
#include <stdlib.h>

static S3Status on_properties(const S3ResponseProperties *properties, void *arg)
{
    (void)properties;
    (void)arg;
    return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *error, void *arg)
{
    (void)error;
    *(S3Status *)arg = status;
}

static S3Status on_data(int bytes, const char *data, void *arg)
{
    (void)arg;
    return fwrite(data, 1, (size_t)bytes, stdout) == (size_t)bytes ? S3StatusOK
                                                                   : S3StatusAbortedByCallback;
}

int main(int argc, char **argv)
{
    const S3GetObjectHandler handler = {{on_properties, on_complete}, on_data};
    S3Status status = S3StatusInternalError;
    S3BucketContext bucket = {0};

    if (argc != 4)
        return 2;
    bucket.hostName = argv[1];
    bucket.bucketName = argv[2];
    bucket.protocol = S3ProtocolHTTP;
    bucket.uriStyle = S3UriStylePath;
    bucket.accessKeyId = getenv("AWS_ACCESS_KEY_ID");
    bucket.secretAccessKey = getenv("AWS_SECRET_ACCESS_KEY");
    if (S3_initialize("tiervec-test", S3_INIT_ALL, argv[1]) != S3StatusOK)
        return 2;
    S3_get_object(&bucket, argv[3], NULL, 0, 0, NULL, &handler, &status);
    S3_deinitialize();
    if (status != S3StatusOK)
        (void)fprintf(stderr, "libs3: %s\n", S3_get_status_name(status));
    return status == S3StatusOK ? 0 : 1;
}

/* How many CPUs this process may use. Two limits count: the affinity mask, and the bandwidth of
 * cgroup v2 (`cpu.max`: "quota period" or "max period") of our group and of every group above it,
 * since a container's own group is often the unlimited child of a limited one. */
#include "base/lock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock_internal.h"

enum { CGROUP_PATH_BYTES = 4096 };

static unsigned affinity_count(void)
{
    cpu_set_t set;
    long online;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    /* More CPUs than a cpu_set_t can name. */
    online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned cpu_max_parse(const char *text)
{
    char *end;
    unsigned long long quota;
    unsigned long long period;

    if (text[0] < '0' || text[0] > '9')
        return 0; /* "max" */
    quota = strtoull(text, &end, 10);
    if (*end != ' ')
        return 0;
    period = strtoull(end + 1, NULL, 10);
    if (quota == 0 || period == 0)
        return 0;
    quota = quota / period + (quota % period != 0);
    return quota > UINT16_MAX ? UINT16_MAX : (unsigned)quota;
}

static bool read_line(const char *path, char *line, size_t bytes)
{
    FILE *file = fopen(path, "re");
    bool read;

    if (file == NULL)
        return false;
    read = fgets(line, (int)bytes, file) != NULL;
    (void)fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

static bool own_group(char path[CGROUP_PATH_BYTES])
{
    static const char v2[] = "0::";
    FILE *file = fopen("/proc/self/cgroup", "re");
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(path, CGROUP_PATH_BYTES, file) != NULL)
        found = strncmp(path, v2, sizeof v2 - 1) == 0;
    (void)fclose(file);
    if (!found)
        return false;
    path[strcspn(path, "\n")] = '\0';
    memmove(path, path + sizeof v2 - 1, strlen(path) - (sizeof v2 - 1) + 1);
    return true;
}

/* The smallest limit from our group to the root; 0 if there is none. */
static unsigned cgroup_count(void)
{
    char group[CGROUP_PATH_BYTES];
    unsigned least = 0;

    if (!own_group(group))
        return 0;
    for (;;) {
        char path[CGROUP_PATH_BYTES + 64];
        char line[128];
        char *slash = strrchr(group, '/');
        unsigned count;

        (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        count = read_line(path, line, sizeof line) ? cpu_max_parse(line) : 0;
        if (count > 0 && (least == 0 || count < least))
            least = count;
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

unsigned thread_cpu_count(void)
{
    unsigned affinity = affinity_count();
    unsigned cgroup = cgroup_count();

    return cgroup > 0 && cgroup < affinity ? cgroup : affinity;
}

/* lock_internal.h - what lock's own files and its tests share. */
#ifndef BASE_LOCK_INTERNAL_H
#define BASE_LOCK_INTERNAL_H

/* The CPUs, rounded up, that a line of cgroup v2's cpu.max gives; 0 for "max" or no sense in it. */
unsigned cpu_max_parse(const char *text);

#endif

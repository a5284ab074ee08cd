/* The state folder on disk, with the same locks and the same atomic replacement as backends/simulated/files.py. */
#ifndef PARTITA_FILES_H
#define PARTITA_FILES_H

#include "json.h"

enum { PATH_LENGTH = 4096 };

/* Waits; 0 or less is no time at all. */
void sleep_seconds(double seconds);
double now_seconds(void);

/* The JSON of a file, to be freed. `missing` tells a file that is not there from one that is damaged. */
struct json *read_json(const char *path, bool *missing);

/* Replaces a file whole; false, with the old file as it was, when the disk refuses. */
bool write_json(const char *path, const struct json *value);

/* Holds a lock file against other threads and processes: a descriptor for unlock_file, or -1 after ten seconds. */
int lock_file(const char *path);
void unlock_file(int descriptor);

#endif

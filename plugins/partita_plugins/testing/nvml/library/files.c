#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const double LOCK_SECONDS_MAX = 10.0, LOCK_POLL_SECONDS = 0.002;

void sleep_seconds(double seconds)
{
    if (seconds <= 0)
        return;
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct json *read_json(const char *path, bool *missing)
{
    FILE *file = fopen(path, "re");
    *missing = !file && errno == ENOENT;
    if (!file)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    ssize_t length = getdelim(&text, &size, '\0', file);
    fclose(file);
    struct json *value = length < 0 ? NULL : json_parse(text);
    free(text);
    return value;
}

static bool write_whole(int descriptor, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(descriptor, text, left);
        if (written < 0 && errno != EINTR)
            return false;
        text += written < 0 ? 0 : written;
        left -= written < 0 ? 0 : (size_t)written;
    }
    return fsync(descriptor) == 0;
}

static void sync_folder_of(const char *path)
{
    char folder[PATH_LENGTH];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    int descriptor = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
}

/* The temporary name begins with a dot, beside the file: readers of the folder pass it over. */
static int open_temporary(const char *path, char temporary[PATH_LENGTH])
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int length = snprintf(temporary, PATH_LENGTH, "%.*s.%s.XXXXXX", (int)(name - path), path, name);
    return length < PATH_LENGTH ? mkostemp(temporary, O_CLOEXEC) : -1;
}

bool write_json(const char *path, const struct json *value)
{
    char temporary[PATH_LENGTH];
    int descriptor = open_temporary(path, temporary);
    if (descriptor < 0)
        return false;
    char *text = json_write(value);
    bool whole = write_whole(descriptor, text);
    free(text);
    whole = close(descriptor) == 0 && whole && rename(temporary, path) == 0;
    if (whole)
        sync_folder_of(path);
    else
        unlink(temporary);
    return whole;
}

int lock_file(const char *path)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    double deadline = now_seconds() + LOCK_SECONDS_MAX;
    while (descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (now_seconds() > deadline || (errno != EWOULDBLOCK && errno != EINTR)) {
            close(descriptor);
            return -1;
        }
        sleep_seconds(LOCK_POLL_SECONDS);
    }
    return descriptor;
}

void unlock_file(int descriptor)
{
    close(descriptor);
}

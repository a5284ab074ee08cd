/* A stand-in for nvidia-cuda-mps-control: -f serves until it is told to quit, no argument sends standard input as commands.
 *
 * What it is told to set stands in $CUDA_MPS_LOG_DIRECTORY/settings, a command a line; it begins empty, because a daemon
 * that begins anew has forgotten. It computes nothing, and is linked statically: a node's root may hold no C library. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define COMMANDS_MAX 4096

static const char *folder(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int failed(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, strerror(errno));
    return 1;
}

/* The daemon's socket, by its address; -1 where its path is too long. */
static int control_socket(struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    const char *pipes = folder("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps");
    int length = snprintf(address->sun_path, sizeof address->sun_path, "%s/control", pipes);
    if (length < 0 || (size_t)length >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static FILE *settings(const char *mode)
{
    char path[COMMANDS_MAX];
    snprintf(path, sizeof path, "%s/settings", folder("CUDA_MPS_LOG_DIRECTORY", "/var/log/nvidia-mps"));
    return fopen(path, mode);
}

/* All that a peer sends until it has no more to say, as a string. */
static void read_all(int from, char *into, size_t room)
{
    size_t used = 0;
    ssize_t got;
    while (used + 1 < room && (got = read(from, into + used, room - 1 - used)) > 0)
        used += (size_t)got;
    into[used] = '\0';
}

/* Whether the daemon goes on after these commands. */
static int obey(char *commands, int peer)
{
    int goes_on = 1;
    for (char *line = strtok(commands, "\n"); line; line = strtok(NULL, "\n")) {
        if (strcmp(line, "quit") == 0) {
            goes_on = 0;
        } else if (strncmp(line, "set_default_", 12) == 0) {
            FILE *kept = settings("a");
            if (kept) {
                fprintf(kept, "%s\n", line);
                fclose(kept);
            }
        } else {
            dprintf(peer, strncmp(line, "get_", 4) == 0 ? "100.0\n" : "Unrecognized command: %s\n", line);
        }
    }
    return goes_on;
}

static int serve(void)
{
    struct sockaddr_un address;
    int listener = control_socket(&address);
    if (listener < 0)
        return failed("socket");
    unlink(address.sun_path); /* of one that was killed */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8))
        return failed(address.sun_path);
    chmod(address.sun_path, 0666); /* clients of any user */
    FILE *kept = settings("w");
    if (!kept)
        return failed("settings");
    fclose(kept);
    signal(SIGPIPE, SIG_IGN);
    for (int goes_on = 1; goes_on;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0)
            continue;
        char commands[COMMANDS_MAX];
        read_all(peer, commands, sizeof commands);
        goes_on = obey(commands, peer);
        close(peer);
    }
    unlink(address.sun_path);
    return 0;
}

static int send_commands(void)
{
    struct sockaddr_un address;
    int peer = control_socket(&address);
    if (peer < 0)
        return failed("socket");
    if (connect(peer, (struct sockaddr *)&address, sizeof address)) {
        fprintf(stderr, "Cannot find MPS control daemon process\n");
        return 1;
    }
    char said[COMMANDS_MAX];
    read_all(STDIN_FILENO, said, sizeof said);
    if (write(peer, said, strlen(said)) < 0 || shutdown(peer, SHUT_WR))
        return failed("write");
    read_all(peer, said, sizeof said);
    fputs(said, stdout);
    return 0;
}

int main(int count, char **words)
{
    if (count == 1)
        return send_commands();
    if (count == 2 && strcmp(words[1], "-f") == 0)
        return serve();
    fprintf(stderr, "usage: %s [-f]\n", words[0]);
    return 2;
}

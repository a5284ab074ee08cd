#include "events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const double POLL_SECONDS = 0.05;

struct event_set {
    unsigned long session;
    struct watch *watches;
    struct event_set *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct event_set *sets;

static void free_set(struct event_set *set)
{
    for (struct watch *watch = set->watches, *next; watch; watch = next) {
        next = watch->next;
        watch_free(watch);
    }
    free(set);
}

/* Under the mutex: the place of a set that was made in this call's session, or NULL. Those of sessions before go. */
static struct event_set **find(const struct call *call, const struct event_set *wanted)
{
    struct event_set **found = NULL;
    for (struct event_set **at = &sets; *at;) {
        struct event_set *set = *at;
        if (set->session < session_number(call)) {
            *at = set->next;
            free_set(set);
            continue;
        }
        if (set == wanted && set->session == session_number(call))
            found = at;
        at = &set->next;
    }
    return found;
}

EXPORT int nvmlEventSetCreate(struct event_set **made)
{
    struct call call = enter();
    if (call.code == OK && !made)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        *made = calloc(1, sizeof **made);
        (*made)->session = session_number(&call);
        pthread_mutex_lock(&mutex);
        find(&call, NULL);
        (*made)->next = sets;
        sets = *made;
        pthread_mutex_unlock(&mutex);
    }
    return leave(&call);
}

EXPORT int nvmlDeviceGetSupportedEventTypes(const struct handle *device, unsigned long long *types)
{
    struct call call = enter_on(device, A_GPU, "wait_events", AT_ONCE);
    if (call.code == OK && !types)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *types = SUPPORTED_EVENTS;
    return leave(&call);
}

EXPORT int nvmlDeviceRegisterEvents(const struct handle *device, unsigned long long types, struct event_set *set)
{
    struct call call = enter_on(device, A_GPU, "wait_events", AT_ONCE);
    if (call.code == OK && (types & ~(unsigned long long)SUPPORTED_EVENTS))
        call.code = NOT_SUPPORTED;
    if (call.code != OK)
        return leave(&call);
    struct watch *watch = watch_new(call.machine, call.gpu, types);
    pthread_mutex_lock(&mutex);
    struct event_set **found = find(&call, set);
    if (found) {
        watch->next = (*found)->watches;
        (*found)->watches = watch;
    } else {
        watch_free(watch);
        call.code = INVALID_ARGUMENT;
    }
    pthread_mutex_unlock(&mutex);
    return leave(&call);
}

/* The next event of a set; TIMEOUT where there is none now. */
static int step(struct call *call, const struct event_set *wanted, struct event_data *event)
{
    pthread_mutex_lock(&mutex);
    struct event_set **found = find(call, wanted);
    int code = found ? TIMEOUT : INVALID_ARGUMENT;
    for (struct watch *watch = found ? (*found)->watches : NULL; watch && code == TIMEOUT; watch = watch->next)
        if (watch_step(call, watch, event))
            code = OK;
    pthread_mutex_unlock(&mutex);
    return code;
}

static int wait_while_any_hangs(const struct machine *machine)
{
    int code = OK;
    for (int index = 0; index < machine->count && code == OK; index++)
        code = wait_while_hung(machine, &machine->gpus[index], "wait_events");
    return code;
}

EXPORT int nvmlEventSetWait_v2(struct event_set *set, struct event_data *event, unsigned timeout_ms)
{
    struct call call = enter();
    if (call.code == OK && !event)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        call.code = wait_while_any_hangs(call.machine);
    if (call.code != OK)
        return leave(&call);
    double deadline = now_seconds() + timeout_ms / 1000.0;
    while ((call.code = step(&call, set, event)) == TIMEOUT) {
        double left = deadline - now_seconds();
        if (left <= 0)
            break;
        sleep_seconds(left < POLL_SECONDS ? left : POLL_SECONDS);
    }
    return leave(&call);
}

EXPORT int nvmlEventSetWait(struct event_set *set, struct event_data *event, unsigned timeout_ms)
{
    return nvmlEventSetWait_v2(set, event, timeout_ms);
}

EXPORT int nvmlEventSetFree(struct event_set *set)
{
    struct call call = enter();
    if (call.code != OK)
        return leave(&call);
    pthread_mutex_lock(&mutex);
    struct event_set **found = find(&call, set);
    if (found) {
        *found = set->next;
        free_set(set);
    } else {
        call.code = INVALID_ARGUMENT;
    }
    pthread_mutex_unlock(&mutex);
    return leave(&call);
}

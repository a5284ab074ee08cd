#include "session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct session {
    struct machine *machine;
    struct handle *handles;
    unsigned pins; /* calls in progress, and one while it is open */
    unsigned long number;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct session *current;
static unsigned opened;
static unsigned long sessions;

/* Under the mutex. */
static void unpin(struct session *session)
{
    if (--session->pins > 0)
        return;
    for (struct handle *handle = session->handles, *next; handle; handle = next) {
        next = handle->next;
        free(handle);
    }
    machine_free(session->machine);
    free(session);
}

static int open_session(void)
{
    struct machine *machine = machine_open();
    if (!machine)
        return DRIVER_NOT_LOADED;
    current = calloc(1, sizeof *current);
    current->machine = machine;
    current->pins = 1;
    current->number = ++sessions;
    return OK;
}

EXPORT int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&mutex);
    int code = opened > 0 ? OK : open_session();
    opened += code == OK;
    pthread_mutex_unlock(&mutex);
    return code;
}

EXPORT int nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

EXPORT int nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

EXPORT int nvmlShutdown(void)
{
    pthread_mutex_lock(&mutex);
    int code = opened > 0 ? OK : UNINITIALIZED;
    if (opened > 0 && --opened == 0) {
        unpin(current);
        current = NULL;
    }
    pthread_mutex_unlock(&mutex);
    return code;
}

struct call enter(void)
{
    struct call call = {.code = UNINITIALIZED};
    pthread_mutex_lock(&mutex);
    if (current) {
        current->pins++;
        call = (struct call){.code = OK, .session = current, .machine = current->machine};
    }
    pthread_mutex_unlock(&mutex);
    return call;
}

unsigned long session_number(const struct call *call)
{
    return call->session->number;
}

int leave(struct call *call)
{
    pthread_mutex_lock(&mutex);
    if (call->session)
        unpin(call->session);
    call->session = NULL;
    pthread_mutex_unlock(&mutex);
    return call->code;
}

/* Any pointer may come from outside: only one that was given out is followed. */
static struct handle *known(struct session *session, const struct handle *wanted, unsigned kinds)
{
    pthread_mutex_lock(&mutex);
    struct handle *handle = session->handles;
    while (handle && handle != wanted)
        handle = handle->next;
    pthread_mutex_unlock(&mutex);
    return handle && (handle->kind & kinds) ? handle : NULL;
}

static double seconds_of(const struct machine *machine, enum pace pace)
{
    static const char *keys[] = {"", "query_seconds", "create_seconds", "destroy_seconds"};
    return pace == AT_ONCE ? 0.0 : json_real(machine->delays, keys[pace], 0.0);
}

struct call enter_on(const struct handle *handle, unsigned kinds, const char *backend_call, enum pace pace)
{
    struct call call = enter();
    if (call.code != OK)
        return call;
    call.handle = known(call.session, handle, kinds);
    if (!call.handle) {
        call.code = INVALID_ARGUMENT;
        return call;
    }
    call.gpu = call.handle->gpu;
    if (backend_call)
        call.code = wait_while_hung(call.machine, call.gpu, backend_call);
    sleep_seconds(seconds_of(call.machine, pace));
    if (call.code == OK && is_lost(call.machine, call.gpu))
        call.code = GPU_IS_LOST;
    return call;
}

static bool same_thing(const struct handle *a, const struct handle *b)
{
    return a->kind == b->kind && a->gpu == b->gpu && a->gpu_instance_id == b->gpu_instance_id &&
           a->profile_id == b->profile_id && a->compute_instance_id == b->compute_instance_id &&
           a->placement.start == b->placement.start && strcmp(a->mig_uuid, b->mig_uuid) == 0;
}

struct handle *handle_of(struct call *call, const struct handle *wanted)
{
    pthread_mutex_lock(&mutex);
    struct handle *handle = call->session->handles;
    while (handle && !same_thing(handle, wanted))
        handle = handle->next;
    if (!handle) {
        handle = malloc(sizeof *handle);
        *handle = *wanted;
        handle->next = call->session->handles;
        call->session->handles = handle;
    }
    pthread_mutex_unlock(&mutex);
    return handle;
}

struct handle *handle_of_gpu(struct call *call, int index)
{
    return handle_of(call, &(struct handle){.kind = A_GPU, .gpu = &call->machine->gpus[index]});
}

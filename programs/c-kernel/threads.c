/* A custom backend in C: the "tasks" are threads, and each keeps its pointer in a `__thread` variable.
 *
 * ci/custom-host links it into the crate's own tests, so that all of them run on a custom backend. A kernel has the same
 * four functions, with `current_task->local` where this has `local`. */

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

/* The crate's. */
void os_thread_local_0_2_task_exit(void);

/* The end of a task: of a thread through the destructor of a key, of the main thread through `atexit`. */
static pthread_key_t ending;

static void thread_ends(void *unused) { os_thread_local_0_2_task_exit(); }
static void process_ends(void) { os_thread_local_0_2_task_exit(); }

/* Before the constructors that use the crate. */
__attribute__((constructor(101))) static void start(void) {
    if (pthread_key_create(&ending, thread_ends) != 0 || atexit(process_ends) != 0)
        abort();
}

static __thread void *local;

void *_os_thread_local_0_2_set_backend_macro_get(void) { return local; }

bool _os_thread_local_0_2_set_backend_macro_set(void *value) {
    if (value != NULL && pthread_setspecific(ending, &ending) != 0)
        return false;
    local = value;
    return true;
}

void _os_thread_local_0_2_set_backend_macro_relax(void) { sched_yield(); }

/* For the feature `critical-section`: what that crate's `set_impl!` would define. Sections nest. */
static pthread_mutex_t section = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void _critical_section_1_0_acquire(void) { pthread_mutex_lock(&section); }
void _critical_section_1_0_release(void) { pthread_mutex_unlock(&section); }

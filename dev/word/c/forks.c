/* forks TIMES HOW: so many processes, made without fork handlers (`_Fork`, `clone`), or whose first use was in a `vfork` child. Each has
 * busy threads and forks in the ordinary way, while they hold locks. Needs the sources with forks.patch, which report each lock that is
 * released by force. */

#define _GNU_SOURCE
#include "face.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 6 };

static atomic_int running, stop;
static pid_t process;

/* Called for a lock that is held. In a forked child its holder is gone. */
void lock_released_by_force(void) {
    if (getpid() == process && running != 0) {
        static const char text[] = "a lock is released by force whose holder runs\n";
        write(2, text, sizeof text - 1);
        _exit(10);
    }
}

static void *busy(void *number) {
    running++;
    while (!stop) {
        if (number == NULL) {
            pthread_t thread; /* first uses */
            pthread_create(&thread, NULL, (void *(*)(void *))face_plain, NULL);
            pthread_join(thread, NULL);
        } else if (face_objects(60) != 60) {
            puts("the values of objects are wrong");
            exit(11);
        }
    }
    running--;
    return NULL;
}

/* As if the scheduler had preempted the thread. */
static void pause_here(int signal) {
    (void)signal;
    nanosleep(&(struct timespec){0, 4000000}, NULL);
}

/* Another library's handler, which gives time between the crate's handler and the fork. */
static void slow_handler(void) { nanosleep(&(struct timespec){0, 1000000}, NULL); }

static int child(void) {
    pthread_t threads[THREADS];
    process = getpid();
    alarm(60);
    signal(SIGUSR1, pause_here);
    for (long n = 0; n < THREADS; n++)
        pthread_create(&threads[n], NULL, busy, (void *)n);
    usleep(300 + random() % 700);
    for (int n = 1; n < THREADS / 2; n++)
        pthread_kill(threads[n], SIGUSR1);
    usleep(100);
    pid_t forked = fork();
    if (forked == 0)
        _exit(0);
    waitpid(forked, NULL, 0);
    usleep(300);
    stop = 1;
    for (int n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    return face_objects(2000) == 2000 ? 0 : 12;
}

/* A child whose child shares its memory and makes the first use. */
static int after_vfork(void) {
    volatile pid_t id = vfork();
    if (id == 0) {
        face_next();
        _exit(0);
    }
    waitpid(id, NULL, 0);
    face_next();
    return child();
}

int main(int count, char **arguments) {
    if (count != 3)
        return 2;
    pthread_atfork(slow_handler, NULL, NULL);
    int is_vfork = strcmp(arguments[2], "vfork") == 0, is_clone = strcmp(arguments[2], "clone") == 0;
    if (!is_vfork)
        face_next();
    for (int n = 0; n < atoi(arguments[1]); n++) {
        int status;
        srandom(n);
        pid_t id = is_vfork ? fork() : is_clone ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : _Fork();
        if (id == 0)
            _exit(is_vfork ? after_vfork() : child());
        waitpid(id, &status, 0);
        if (status != 0) {
            printf("%s: process %d ended with %s %d\n", arguments[2], n, WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            return 1;
        }
    }
    return 0;
}

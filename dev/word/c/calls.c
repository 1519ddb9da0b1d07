/* calls KEYS: takes so many keys, as other libraries may have before the crate's first use, and allocates in 24 threads. The allocator
 * counts in a thread-local value (src/malloc.rs); it is preloaded or linked. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 24, TIMES = 1000 };

int __pthread_key_create(pthread_key_t *key, void (*destructor)(void *));

/* As in a C library that allocates for a key. Not for those of `take_keys`, which come before the crate's first use. */
static int allocates;
int pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    void *volatile memory = allocates ? malloc(1) : NULL;
    free(memory);
    return __pthread_key_create(key, destructor);
}

/* Before the constructors of libraries. */
static void take_keys(int count, char **arguments, char **environment) {
    (void)environment;
    for (int n = count > 1 ? atoi(arguments[1]) : 0; n > 0; n--) {
        pthread_key_t key;
        if (__pthread_key_create(&key, NULL) != 0)
            abort();
    }
    allocates = 1;
}
__attribute__((section(".preinit_array"), used)) static void (*before)(int, char **, char **) = take_keys;

static void *allocate(void *unused) {
    for (size_t n = 0; n < TIMES; n++) {
        void *volatile memory = malloc(n);
        free(memory);
    }
    return unused;
}

typedef size_t (*function)(void);

int main(void) {
    function ended = (function)dlsym(RTLD_DEFAULT, "calls_ended"), here = (function)dlsym(RTLD_DEFAULT, "calls_here");
    function has_word = (function)dlsym(RTLD_DEFAULT, "face_has_word");
    size_t (*errors)(size_t) = (size_t (*)(size_t))dlsym(RTLD_DEFAULT, "calls_errors");
    if (ended == NULL || here == NULL || errors == NULL || has_word == NULL)
        return 2;
    for (int n = 0; n < THREADS; n += 8) {
        pthread_t threads[8];
        for (int i = 0; i < 8; i++)
            pthread_create(&threads[i], NULL, allocate, NULL);
        for (int i = 0; i < 8; i++)
            pthread_join(threads[i], NULL);
    }
    size_t calls = ended(), recursive = errors(0), destroyed = errors(1), others = errors(2);
    printf("%zu calls in threads, %zu here; errors: %zu Recursive, %zu Destroyed, %zu others\n", calls, here(), recursive, destroyed, others);
    /* A thread's first use and its end allocate, too: some calls. */
    if (calls < THREADS * TIMES * 2 || calls > THREADS * (TIMES * 2 + 20) || recursive > (THREADS + 1) * 20 || others != 0)
        return 3;
    return ((int (*)(void))has_word)() ? 10 : 20;
}

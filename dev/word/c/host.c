/* host LIBRARY...: opens each library, uses it, also in a thread that is older, and closes it while that thread has values; twice. Prints
 * the result of each library's `face_check`, which is the exit status if it is always the same. With -DCOPY the program has a copy of the
 * crate, too, and must have the word. */

#include "face.h"
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

/* What a wrong distance would overwrite. */
static __thread long own[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void check_own(const char *thread) {
    for (int n = 0; n < 16; n++)
        if (own[n] != n + 1) {
            printf("a thread-local of the program was overwritten in %s\n", thread);
            exit(100);
        }
}

static unsigned (*next)(void), (*plain)(void), (*objects)(unsigned);
static sem_t go, done;

static void *older(void *unused) {
    check_own("the older thread");
    sem_wait(&go);
    if (next() != 1 || next() != 2 || plain() != 1 || plain() != 2 || objects(40) != 40) {
        puts("the values of the older thread are wrong");
        exit(101);
    }
    check_own("the older thread");
    sem_post(&done);
    sem_wait(&go);
    return unused;
}

static void *symbol(void *library, const char *name) {
    void *address = dlsym(library, name);
    if (address == NULL) {
        puts(dlerror());
        exit(102);
    }
    return address;
}

static int use(const char *path) {
    pthread_t thread;
    pthread_create(&thread, NULL, older, NULL);
    void *library = dlopen(path, RTLD_NOW);
    if (library == NULL) {
        puts(dlerror());
        exit(103);
    }
    int (*check)(void) = (int (*)(void))symbol(library, "face_check");
    next = (unsigned (*)(void))symbol(library, "face_next");
    plain = (unsigned (*)(void))symbol(library, "face_plain");
    objects = (unsigned (*)(unsigned))symbol(library, "face_objects");
    int result = check();
    sem_post(&go);
    sem_wait(&done);
    dlclose(library);
    sem_post(&go);
    pthread_join(thread, NULL);
    check_own("the main thread");
    return result;
}

int main(int count, char **arguments) {
    int result = 0, same = 1;
    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
#ifdef COPY
    unsigned before = face_next();
    if (face_check() != HAS_WORD)
        return 104;
    before += 2; /* `face_check` counts, too */
#endif
    for (int times = 0; times < 2; times++)
        for (int n = 1; n < count; n++) {
            int now = use(arguments[n]);
            printf("%d\n", now);
            if (result != 0 && now != result)
                same = 0;
            result = now;
        }
#ifdef COPY
    if (face_next() != before + 1 || face_check() != HAS_WORD)
        return 105;
#endif
    return same ? result : 106;
}

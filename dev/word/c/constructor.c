/* A library whose constructor starts a thread that uses a value without a destructor, and joins it, while the loader holds its lock. The
 * constructor itself has prepared or used the value. */

#include "face.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *use(void *unused) {
    if (face_plain() != 1)
        abort();
    return unused;
}

__attribute__((constructor)) static void constructor(void) {
    pthread_t thread;
    const char *first = getenv("FACE_FIRST");
    if (first == NULL || (strcmp(first, "prepare") == 0 ? !face_prepare() : face_plain() == 0))
        abort();
    pthread_create(&thread, NULL, use, NULL);
    pthread_join(thread, NULL);
}

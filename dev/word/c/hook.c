/* hook LIBRARY: an allocator in the program that counts its calls with the library's `face_next`. */

#include "face.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

static unsigned (*volatile next)(void);
static __thread int depth;
static volatile int deepest;

static void count(void) {
    if (next == NULL)
        return;
    if (++depth > deepest)
        deepest = depth;
    if (depth > 20) {
        write(1, "recursion\n", 10);
        _exit(100);
    }
    next();
    depth--;
}

void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(); return __libc_calloc(number, size); }
void *realloc(void *memory, size_t size) { count(); return __libc_realloc(memory, size); }
int posix_memalign(void **memory, size_t align, size_t size) { count(); *memory = __libc_memalign(align, size); return 0; }

static void *thread(void *unused) {
    for (int n = 0; n < 10; n++) {
        void *volatile memory = malloc(n);
        free(memory);
    }
    return unused;
}

int main(int number, char **arguments) {
    void *library = number > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (library == NULL)
        return 101;
    unsigned (*volatile here)(void) = (unsigned (*)(void))dlsym(library, "face_next");
    int (*has_word)(void) = (int (*)(void))dlsym(library, "face_has_word");
    next = here;
    thread(NULL);
    pthread_t id;
    for (int n = 0; n < 3; n++) {
        pthread_create(&id, NULL, thread, NULL);
        pthread_join(id, NULL);
    }
    unsigned calls = here();
    next = NULL;
    printf("%u calls here, %d deep\n", calls, deepest);
    return calls < 12 ? 102 : has_word() ? HAS_WORD : HAS_NO_WORD;
}

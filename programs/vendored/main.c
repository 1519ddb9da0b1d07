/* Three threads count, each for itself, and their counters end with them. Exit status 0 if all of it is so. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

uint32_t counter_next(void);

static atomic_uint ended;
void counter_ended(uint32_t count) { ended += count; }

static void *count(void *times) {
    for (uintptr_t n = 1; n <= (uintptr_t)times; n++)
        if (counter_next() != n)
            return "a counter is not this thread's own";
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    void *wrong = count((void *)5), *result;
    for (uintptr_t n = 0; n < 3; n++)
        if (pthread_create(&threads[n], NULL, count, (void *)(100 * (n + 1))) != 0)
            return 2;
    for (int n = 0; n < 3; n++) {
        pthread_join(threads[n], &result);
        if (result != NULL)
            wrong = result;
    }
    if (ended != 600)
        wrong = "the counters of threads that have ended are not destroyed";
    puts(wrong == NULL ? "ok: four threads had counters, three of which ended" : (char *)wrong);
    return wrong != NULL;
}

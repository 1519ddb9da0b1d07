/* A program in C around the crate: linked with it, or with a library that has it. The exit status is the result of `face_check`. With
 * -DEXPORT and -rdynamic the program has all functions that host.c looks for. */

#include "face.h"

#ifdef EXPORT
void *const exports[] = {(void *)face_check, (void *)face_next, (void *)face_plain, (void *)face_objects};
#endif

int main(void) { return face_check(); }

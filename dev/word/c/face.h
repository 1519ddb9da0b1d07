/* The functions of src/lib.rs and src/malloc.rs. */

#include <stddef.h>

enum { HAS_WORD = 10, HAS_NO_WORD = 20 };

int face_check(void), face_has_word(void), face_prepare(void);
unsigned face_next(void), face_plain(void), face_objects(unsigned count);
size_t face_alive(void);
size_t calls_ended(void), calls_here(void), calls_errors(size_t kind);

/* Ownership: cleanup at the end of a scope, and handing on. */
#ifndef LH_BASE_MACRO_H
#define LH_BASE_MACRO_H

#include <stddef.h>
#include <stdlib.h>

/* LH_AUTO(lh_x_freep) lh_x *x = NULL;  the function takes the variable's address. */
#define LH_AUTO(fn) __attribute__((cleanup(fn)))

/* Hand on what an LH_AUTO variable owns: yields the pointer and sets the variable to NULL. */
#define LH_TAKE(p)                                                                                           \
    __extension__({                                                                                          \
        __typeof__(p) lh_taken_ = (p);                                                                       \
        (p) = NULL;                                                                                          \
        lh_taken_;                                                                                           \
    })

/* static inline void name##p(type **), for LH_AUTO, calling name(*p). */
#define LH_DEFINE_FREEP(type, name)                                                                          \
    static inline void name##p(type **p)                                                                     \
    {                                                                                                        \
        name(*p);                                                                                            \
        *p = NULL;                                                                                           \
    }

static inline void lh_freep(void *p)
{
    void **memory = p;
    free(*memory);
    *memory = NULL;
}

#define LH_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif

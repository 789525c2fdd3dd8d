/* What is wrong with a document, each with its place: collected, so that a person sees all of it at once. */
#ifndef LH_CODEC_PROBLEM_H
#define LH_CODEC_PROBLEM_H

#include "base/bytes.h"

#define LH_PROBLEM_MAX 50 /* problems kept; more are counted only */
#define LH_PROBLEM_PATH 160
#define LH_PROBLEM_MESSAGE 400
#define LH_PROBLEM_FILE 256

enum lh_severity { LH_SEVERITY_ERROR, LH_SEVERITY_WARNING };

/* Where in a document: both count from 1; the column counts characters, not bytes. 0 where unknown. */
typedef struct {
    unsigned line;
    unsigned column;
} lh_place;

typedef struct {
    enum lh_severity severity;
    lh_place place;
    char path[LH_PROBLEM_PATH];       /* "roles[0].ttl"; "" for the document */
    char message[LH_PROBLEM_MESSAGE]; /* what was expected and what was found; printable ASCII */
} lh_problem;

/* Owned by the caller; zeroed it is ready. Fields are read by anybody and written by the functions below. */
typedef struct {
    char file[LH_PROBLEM_FILE]; /* as shown to people */
    lh_problem *items;          /* count of them, in the order found */
    size_t count;
    size_t errors; /* all that were found, kept or not */
    size_t warnings;
} lh_problems;

#define LH_PROBLEMS_INIT ((lh_problems){.items = NULL})

void lh_problems_set_file(lh_problems *problems, const char *file);
/* Add one. Bytes of the message that are not printable ASCII are escaped ("\xNN"), what is too long is cut.
 * path NULL is "". Without memory the problem is counted and not kept. */
void lh_problem_add(lh_problems *problems, enum lh_severity severity, lh_place place, const char *path,
    const char *message, ...) LH_FORMAT(5, 6);
/* One line each: "policy.yaml:12:5: error: roles[0].ttl: expected a duration such as 10m, found a list". */
void lh_problems_format(const lh_problems *problems, lh_buf *text);
/* LH_OK without errors (warnings do not count); LH_E_INVALID, reason "document-invalid", whose message is the
 * first error with its place, otherwise. what names the kind of document: "policy". */
LH_MUST lh_err lh_problems_status(const lh_problems *problems, const char *what);
/* Copy text as printable ASCII: other bytes become "\xNN". Cut where out (size bytes, NUL included) ends. */
void lh_problem_escape(char *out, size_t size, const char *text);
/* Free the items and empty it. */
void lh_problems_clear(lh_problems *problems);

#endif

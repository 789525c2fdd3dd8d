/* A set of files being made: lines are gathered in any order and written sorted, each once, as
 * verify/fileset.h wants them. */
#ifndef LH_TOOLS_FILE_LIST_H
#define LH_TOOLS_FILE_LIST_H

#include "crypto/crypto.h"

typedef struct file_list file_list;

LH_MUST lh_err file_list_new(lh_crypto *c, file_list **ret);
void file_list_free(file_list *list);
LH_DEFINE_FREEP(file_list, file_list_free)

/* A line. LH_E_LIMIT past what a set holds; a name that a set cannot hold (control characters, too long) is
 * written with '?' in their place: files are known by their digest. */
LH_MUST lh_err file_list_add(file_list *list, const uint8_t digest[32], const char *name);
/* Every regular file below folder, named as if folder were the root; links are not followed, other file
 * systems not entered. LH_E_IO, LH_E_NOT_FOUND, naming the file. */
LH_MUST lh_err file_list_add_tree(file_list *list, const char *folder);
/* One regular file, under its own name. LH_E_NOT_FOUND, LH_E_IO. */
LH_MUST lh_err file_list_add_file(file_list *list, const char *path);

size_t file_list_count(const file_list *list);
/* Sort, and append the text. */
LH_MUST lh_err file_list_write(file_list *list, lh_buf *ret);

#endif

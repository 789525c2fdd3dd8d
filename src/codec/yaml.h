/* YAML documents as an immutable tree in which every node knows its line and column.
 *
 * The subset that a configuration needs, and nothing that makes a document say something else than it shows.
 * Refused: more than LH_LIMIT_DOCUMENT bytes, not UTF-8, control characters (tab and line ends excepted),
 * invisible and bidirectional characters,
 * byte order marks, aliases, anchors, tags, directives, merge keys, keys that are not plain text, duplicate
 * keys, more than one document, no document, depth beyond LH_LIMIT_YAML_DEPTH, more than LH_LIMIT_YAML_NODES
 * nodes, a NUL in a string. Scalars stay text; schema.h gives them types. Nothing is printed.
 *
 * Threads: a tree may be read by any number of threads.
 * Source: YAML 1.2.2; read by libfyaml, which sees only bytes that passed the checks on bytes above. */
#ifndef LH_CODEC_YAML_H
#define LH_CODEC_YAML_H

#include "codec/problem.h"

typedef struct lh_yaml lh_yaml;
typedef struct lh_yaml_node lh_yaml_node;

enum lh_yaml_kind { LH_YAML_SCALAR, LH_YAML_LIST, LH_YAML_MAP };

/* Parse one document. Any bytes are safe to pass.
 * ret:      freed by the caller with lh_yaml_free; keeps nothing of doc; untouched on error.
 * problems: gets what is wrong (the first thing that makes the text unreadable; all duplicate keys).
 * Errors:   LH_E_INVALID, reason "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_yaml_parse(lh_bytes doc, lh_yaml **ret, lh_problems *problems);
void lh_yaml_free(lh_yaml *yaml);
LH_DEFINE_FREEP(lh_yaml, lh_yaml_free)

/* Never NULL. Nodes live as long as their tree. */
const lh_yaml_node *lh_yaml_root(const lh_yaml *yaml);
enum lh_yaml_kind lh_yaml_node_kind(const lh_yaml_node *node);
/* Where the value begins. */
lh_place lh_yaml_node_place(const lh_yaml_node *node);
/* The key under which the node stands in its map, and the key's place; NULL and the node's place elsewhere.
 */
const char *lh_yaml_node_key(const lh_yaml_node *node);
lh_place lh_yaml_node_key_place(const lh_yaml_node *node);
/* A scalar's text, NUL-terminated UTF-8; "" for lists and maps. */
const char *lh_yaml_node_text(const lh_yaml_node *node);
/* True for a scalar without quotes and not a block: one that may mean a number, null or a truth value. */
bool lh_yaml_node_plain(const lh_yaml_node *node);
/* Children of a list or map, in document order; NULL where there are none or no more. */
const lh_yaml_node *lh_yaml_node_first(const lh_yaml_node *node);
const lh_yaml_node *lh_yaml_node_next(const lh_yaml_node *node);
size_t lh_yaml_node_count(const lh_yaml_node *node);
/* The value under a key of a map; NULL where there is none, where map is no map or is NULL. */
const lh_yaml_node *lh_yaml_get(const lh_yaml_node *map, const char *key);
/* Where it stands: "roles[0].ttl"; "" for the root. Cut where longer. */
void lh_yaml_node_path(const lh_yaml_node *node, char out[LH_PROBLEM_PATH]);

#endif

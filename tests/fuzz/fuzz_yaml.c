/* YAML: any bytes give a tree or problems with places inside the text; a tree keeps its limits. */
#include "base/limits.h"
#include "codec/yaml.h"

#include <stdlib.h>

static size_t check(const lh_yaml_node *node, size_t depth)
{
    if (depth > LH_LIMIT_YAML_DEPTH)
        abort();
    lh_place place = lh_yaml_node_place(node);
    if (place.line == 0 || place.column == 0)
        abort();
    char path[LH_PROBLEM_PATH];
    lh_yaml_node_path(node, path);
    if (strlen(path) >= sizeof(path) || strlen(lh_yaml_node_text(node)) > 2 * LH_LIMIT_DOCUMENT)
        abort();
    size_t nodes = 1;
    size_t children = 0;
    for (const lh_yaml_node *at = lh_yaml_node_first(node); at != NULL; at = lh_yaml_node_next(at)) {
        children++;
        if ((lh_yaml_node_kind(node) == LH_YAML_MAP) != (lh_yaml_node_key(at) != NULL))
            abort();
        if (children < 64 && lh_yaml_node_key(at) != NULL && lh_yaml_get(node, lh_yaml_node_key(at)) != at)
            abort();
        nodes += check(at, lh_yaml_node_kind(at) == LH_YAML_SCALAR ? depth : depth + 1);
    }
    if (children != lh_yaml_node_count(node) || nodes > LH_LIMIT_YAML_NODES)
        abort();
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    lh_err err = lh_yaml_parse((lh_bytes){data, size}, &yaml, &problems);
    if (lh_ok(err) != (yaml != NULL) || lh_ok(err) != (problems.errors == 0))
        abort();
    if (yaml != NULL)
        (void)check(lh_yaml_root(yaml), lh_yaml_node_kind(lh_yaml_root(yaml)) == LH_YAML_SCALAR ? 0 : 1);
    lh_problems_clear(&problems);
    return 0;
}

/*
 * print_config: the configuration as it takes effect.
 */
#ifndef MESH_MAP_PRINT_CONFIG_H
#define MESH_MAP_PRINT_CONFIG_H

#include "mesh-map/mapping.h"

/*
 * Writes every key to stdout, as YAML that --config takes: the file's value, or the
 * default of the module that the first program imports.
 */
int print_config(const struct mapping_options *options, struct err *err) NODISCARD;

#endif

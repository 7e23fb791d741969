#include "mesh-map/mapping.h"

#include <string.h>
#include <sys/stat.h>

#include "mesh-map/check.h"
#include "mesh-map/config.h"
#include "mesh-map/filters.h"
#include "mesh-map/product.h"
#include "mesh-map/program.h"

struct mapping {
	struct program **programs;
	size_t n_programs;
	bool no_validate;
};

/* What becomes of one record. */
struct result {
	jv objects;
	jv keep;
	jv seen;	     /* identities so far */
	char *first_problem; /* of those in keep */
};

static int add_dir(jv *dirs, const char *path, struct err *err)
{
	cleanup_free char *absolute = realpath(path, NULL);
	struct stat st;

	if (absolute == NULL || stat(absolute, &st) < 0)
		return err_errno(err, EXIT_CONFIG, "cannot open module directory '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, EXIT_CONFIG, "'%s' is not a directory", path);
	jvx_append(dirs, jv_string(absolute));
	return 0;
}

jv mapping_lib_dirs(const struct mapping_options *options, const char *program, const char *shipped,
	struct err *err)
{
	cleanup_free char *own = filters_dir_of(program);
	cleanup_jv jv dirs = jv_array();

	for (size_t i = 0; i < options->n_lib_dirs; i++)
		if (add_dir(&dirs, options->lib_dirs[i], err) < 0)
			return jv_invalid();
	if (own != NULL)
		jvx_append(&dirs, jv_string(own));
	jvx_append(&dirs, jv_string(shipped));
	return jvx_take(&dirs);
}

static int open_program(struct mapping *m, const struct mapping_options *options, const char *name,
	const char *shipped, jv config, struct err *err)
{
	cleanup_free char *path = filters_find(name, shipped);
	cleanup_jv jv dirs = mapping_lib_dirs(options, path, shipped, err);
	struct program *p;

	if (!jv_is_valid(dirs))
		return -1;
	p = program_open(path, dirs, config, err);
	if (p == NULL)
		return -1;
	m->programs = xrealloc(m->programs, m->n_programs + 1, sizeof(struct program *));
	m->programs[m->n_programs++] = p;
	return 0;
}

static int open_all(struct mapping *m, const struct mapping_options *options, struct err *err)
{
	cleanup_free char *shipped = filters_dir(err);
	cleanup_free char *standard = NULL;
	cleanup_jv jv config = jv_invalid();

	if (shipped == NULL)
		return -1;
	config = config_load(options->config, err);
	if (!jv_is_valid(config))
		return -1;
	for (size_t i = 0; i < options->n_programs; i++)
		if (open_program(m, options, options->programs[i], shipped, config, err) < 0)
			return -1;
	if (options->n_programs > 0)
		return 0;
	standard = xasprintf("%s/%s", shipped, FILTERS_DEFAULT);
	return open_program(m, options, standard, shipped, config, err);
}

struct mapping *mapping_open(const struct mapping_options *options, struct err *err)
{
	struct mapping *m = xcalloc(1, sizeof(*m));

	m->no_validate = options->no_validate;
	if (open_all(m, options, err) < 0) {
		mapping_close(m);
		return NULL;
	}
	return m;
}

void mapping_close(struct mapping *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n_programs; i++)
		program_close(m->programs[i]);
	free(m->programs);
	free(m);
}

/* What travels on: all the fields of the record that are not the catalogue's side of it. */
static jv begin_record(jv record, const char *type)
{
	static const char *const stays[] = { "service", "instances", "last", "index" };
	cleanup_jv jv key = jvx_get(record, "service");
	cleanup_jv jv answer = jv_copy(record);

	for (size_t i = 0; i < ARRAY_SIZE(stays); i++)
		answer = jv_object_delete(answer, jv_string(stays[i]));
	jvx_set_str(&answer, "type", type);
	jvx_set(&answer, "key", jv_copy(key));
	return jvx_take(&answer);
}

static jv make_apply(jv record, jv objects, jv keep)
{
	cleanup_jv jv answer = begin_record(record, "apply");

	jvx_set(&answer, "objects", jv_copy(objects));
	jvx_set(&answer, "keep", jv_copy(keep));
	return jvx_take(&answer);
}

jv mapping_keep(jv record, const char *problem)
{
	cleanup_jv jv answer = begin_record(record, "keep");

	answer = jv_object_delete(answer, jv_string("at"));
	jvx_set_str(&answer, "error", problem);
	return jvx_take(&answer);
}

void mapping_count(jv answer, unsigned *ret_objects, unsigned *ret_kept)
{
	cleanup_jv jv objects = jvx_get(answer, "objects");
	cleanup_jv jv keep = jvx_get(answer, "keep");

	*ret_objects = (unsigned)jvx_length(objects);
	*ret_kept = (unsigned)jvx_length(keep);
}

jv mapping_gone(jv gone)
{
	cleanup_jv jv none = jv_array();

	return make_apply(gone, none, none);
}

static int check(const struct mapping *m, jv output, struct err *err)
{
	if (product_check(output, err) < 0)
		return -1;
	return m->no_validate ? check_sendable(output, err) : check_object(output, err);
}

/* "PROGRAM: KIND 'NAME': WHAT", for those who see only that line. */
static char *name_problem(const struct program *p, jv output, const char *what)
{
	cleanup_jv jv kind = jvx_get(output, "kind");
	cleanup_jv jv metadata = jvx_get(output, "metadata");
	cleanup_jv jv name = jvx_get(metadata, "name");

	return xasprintf(
		"%s: %s '%s': %s", program_path(p), jvx_str(kind, ""), jvx_str(name, ""), what);
}

static int add_output(const struct mapping *m, const struct program *p, struct result *r, jv output,
	struct err *err)
{
	cleanup_free char *identity = product_identity(output, err);
	cleanup_jv jv before = jv_invalid();
	struct err why = ERR_INIT;

	if (identity == NULL)
		return -1;
	before = jvx_get(r->seen, identity);
	if (jv_is_valid(before))
		return err_set(
			err, EXIT_SOME_FAILED, "two objects with the one identity '%s'", identity);
	jvx_set(&r->seen, identity, jv_true());
	if (check(m, output, &why) == 0) {
		jvx_append(&r->objects, jv_copy(output));
		return 0;
	}
	jvx_append(&r->keep, product_keep(output, why.msg));
	if (r->first_problem == NULL)
		r->first_problem = name_problem(p, output, why.msg);
	return 0;
}

static int run_program(
	const struct mapping *m, struct program *p, jv record, struct result *r, struct err *err)
{
	cleanup_jv jv outputs = program_run(p, record, err);

	if (!jv_is_valid(outputs))
		return err_wrap(err, "%s", program_path(p));
	for (int i = 0; i < jvx_length(outputs); i++) {
		cleanup_jv jv output = jvx_at(outputs, i);

		if (add_output(m, p, r, output, err) < 0)
			return err_wrap(err, "%s", program_path(p));
	}
	return 0;
}

static void release_result(struct result *r)
{
	jv_free(r->objects);
	jv_free(r->keep);
	jv_free(r->seen);
	free(r->first_problem);
}

jv mapping_run(struct mapping *m, jv service, char **ret_problem)
{
	__attribute__((cleanup(release_result))) struct result r = {
		.objects = jv_array(), .keep = jv_array(), .seen = jv_object()
	};
	cleanup_jv jv instances = jvx_get(service, "instances");
	struct err err = ERR_INIT;
	int rc = 0;

	*ret_problem = NULL;
	if (!jvx_is(instances, JV_KIND_ARRAY))
		rc = err_set(&err, EXIT_SOME_FAILED, "the record has no array 'instances'");
	for (size_t i = 0; i < m->n_programs && rc == 0; i++)
		rc = run_program(m, m->programs[i], service, &r, &err);
	if (rc < 0) {
		*ret_problem = xstrdup(err.msg);
		return mapping_keep(service, err.msg);
	}
	*ret_problem = TAKE(r.first_problem);
	return make_apply(service, r.objects, r.keep);
}

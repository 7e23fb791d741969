#include "mesh-map/print_config.h"

#include "lib/buf.h"
#include "lib/yaml_write.h"
#include "mesh-map/config.h"
#include "mesh-map/filters.h"
#include "mesh-map/snippet.h"

#define MAX_BYTES (64u << 20)

/* The module's defaults and the file together, as m::settings puts them. */
static const char effective[] =
	"import \"meshpipe\" as m; m::defaults + ($config | with_entries(select(.value != null)))";

static jv evaluate(const struct mapping_options *options, const char *beside, struct err *err)
{
	cleanup_jv jv config = config_load(options->config, err);
	cleanup_jv jv outputs = jv_invalid();
	struct program *p;

	if (!jv_is_valid(config))
		return jv_invalid();
	p = snippet_open(effective, beside, options, config, err);
	if (p == NULL)
		return jv_invalid();
	outputs = program_run(p, jv_null(), err);
	program_close(p);
	if (jv_is_valid(outputs))
		return jvx_at(outputs, 0);
	err->status = EXIT_CONFIG;
	err_wrap(err, "the defaults of the module 'meshpipe'");
	return jv_invalid();
}

/* One key after another: what belongs together stands together. */
static int write_config(jv config, struct buf *out, struct err *err)
{
	cleanup_jv jv keys = config_keys();

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv value = jvx_get(config, jvx_str(key, ""));
		cleanup_jv jv line = jv_object();

		jvx_set(&line, jvx_str(key, ""), jv_is_valid(value) ? jv_copy(value) : jv_null());
		if (yaml_write_nulls(line, out, err) < 0)
			return err_wrap(err, "'%s'", jvx_str(key, ""));
	}
	return 0;
}

int print_config(const struct mapping_options *options, struct err *err)
{
	cleanup_free char *shipped = filters_dir(err);
	cleanup_free char *program = NULL;
	cleanup_jv jv config = jv_invalid();
	cleanup_buf struct buf out;

	buf_init(&out, MAX_BYTES);
	if (shipped == NULL)
		return -1;
	program = options->n_programs > 0 ? filters_find(options->programs[0], shipped)
					  : xasprintf("%s/%s", shipped, FILTERS_DEFAULT);
	config = evaluate(options, program, err);
	if (!jv_is_valid(config) || write_config(config, &out, err) < 0)
		return -1;
	fputs(buf_str(&out), stdout);
	if (fflush(stdout) != 0)
		return err_errno(err, EXIT_OUTPUT, "cannot write output");
	return 0;
}

#include "mesh-map/table.h"

#define MAX_COLUMNS 16
#define MAX_WIDTH   60

void print_clean(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		putchar(c < ' ' || c == 0x7f ? '?' : c);
	}
}

/* Characters, of UTF-8. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void measure(jv row, int *widths)
{
	for (int c = 0; c < jvx_length(row) && c < MAX_COLUMNS; c++) {
		cleanup_jv jv cell = jvx_at(row, c);
		int width = width_of(jvx_str(cell, ""));

		/* One that is very long stands out of its column instead of widening it. */
		if (width > widths[c] && width <= MAX_WIDTH)
			widths[c] = width;
	}
}

static void print_row(jv row, const int *widths, const char *start)
{
	int last = jvx_length(row) - 1;

	fputs(start, stdout);
	for (int c = 0; c <= last && c < MAX_COLUMNS; c++) {
		cleanup_jv jv cell = jvx_at(row, c);
		const char *text = jvx_str(cell, "");
		int pad = widths[c] - width_of(text);

		print_clean(text);
		if (c < last)
			printf("%*s", (pad > 0 ? pad : 0) + 2, "");
	}
	putchar('\n');
}

void table_print(jv rows, const char *start)
{
	int widths[MAX_COLUMNS] = { 0 };

	for (int i = 0; i < jvx_length(rows); i++) {
		cleanup_jv jv row = jvx_at(rows, i);

		measure(row, widths);
	}
	for (int i = 0; i < jvx_length(rows); i++) {
		cleanup_jv jv row = jvx_at(rows, i);

		print_row(row, widths, start);
	}
}

"""Renders what was found.

- `words`: verdicts and placements in words, for terminal and page alike
- `terminal`, `html` (with `templates/`), `csv`, `json_forms`: one file a form; `verdict_json`: what JSON forms share
- `energy`: joules beside the times, or why not
- `estimates`, `charts`: what the charts show, and the charts as SVG
- `classic_table`: tables by node in numastat's layout
- `machine_text`, `machine_svg` (with `machine_boxes`, `svg_layout`): the machine in words and drawn
- `page`: what all pages share: template, content security policy, style sheets
- `measurements_text` (with `measurements_tables`), `measurements_html` (with `measurements_maps`, `heatmap`,
  `measurements_charts`, `measurements_rows`), `measurements_csv`: what was measured, one file a form;
  `measurements_view`, `measurements_claims` and `measurements_devices` arrange it for all of them
"""

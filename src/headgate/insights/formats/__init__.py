"""Tables as files: CSV, JSON, JSON Lines, XLSX.

Invariant: what is held at once does not grow with the table; a workbook grows on disk, not in memory.
"""

from headgate.insights.formats.lines import csv_lines, json_array, json_lines, plain_text
from headgate.insights.formats.names import FORMATS, FormatName, file_name, media_type, read_format, safe_name
from headgate.insights.formats.stream import Exported, export, export_asked, export_opened

__all__ = [
    "FORMATS",
    "Exported",
    "FormatName",
    "csv_lines",
    "export",
    "export_asked",
    "export_opened",
    "file_name",
    "json_array",
    "json_lines",
    "media_type",
    "plain_text",
    "read_format",
    "safe_name",
]

"""Files of tables to rows: unpacked, decoded, split into cells."""

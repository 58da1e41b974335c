-- Run once by PostgreSQL's image, at the first start on an empty volume: what Temporal needs.
\getenv password TEMPORAL_DB_PASSWORD
CREATE ROLE temporal LOGIN PASSWORD :'password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE temporal, temporal_visibility FROM PUBLIC;

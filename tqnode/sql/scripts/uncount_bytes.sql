DROP TRIGGER IF EXISTS bytes_task_in;
DROP TRIGGER IF EXISTS bytes_task_out;
DROP TRIGGER IF EXISTS bytes_task_left;
DROP TRIGGER IF EXISTS bytes_task_entered;
DROP TRIGGER IF EXISTS bytes_body_in;
DROP TRIGGER IF EXISTS bytes_body_out;
DROP TRIGGER IF EXISTS bytes_body_changed;
